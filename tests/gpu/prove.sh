#!/usr/bin/env bash
# What only a GPU can show, in steps that each end by themselves within ten minutes.
#
#     OUT=FOLDER tests/gpu/prove.sh prove | train-xs | train-s
#
# prove: speed, the tests marked gpu, compute-sanitizer on the kernels, what some choices bring.
# train-xs: the bundled network goes on learning. train-s: a larger one, which takes several times.
#
# What is found lies in OUT; of `prove` summary.txt says how each part ended. A machine may be bare
# but for Python and PyTorch, and have no network: what is missing lies in CARRIED (by default gpu/,
# at the top), as wheels/*.whl (av, platformdirs), photos/ (for training), clips/*/ (to judge on,
# by `recipe.real_clips`) and train-s/state.pt.* (to go on). DRY=1 tries a step on a CPU.
set -uo pipefail
cd "$(dirname "$0")/../.."
top=$PWD step=${1:?prove, train-xs or train-s} out=${OUT:?a folder} carried=${CARRIED:-gpu} dry=${DRY:-}
mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}

# The package as it is installed: two of its folders lie elsewhere here.
cp -r vsrdb_cli "$work/"
cp -r export weights "$work/vsrdb_cli/"
if compgen -G "$carried/wheels/*.whl" > /dev/null; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
        --target "$work/wheels" "$carried"/wheels/*.whl || exit 1
fi
export PYTHONPATH=$work:$work/wheels:$top/tests:$top/tests/export:$top/tests/gpu:$top/weights${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1 XDG_CACHE_HOME=$work/cache

# part NAME SECONDS COMMAND...: its output in OUT/NAME.log, its end in OUT/summary.txt.
part() {
    local name=$1 seconds=$2 begun=$SECONDS status
    shift 2
    timeout --kill-after=5 "$seconds" "$@" > "$out/$name.log" 2>&1
    status=$?
    echo "$name: status $status after $((SECONDS - begun)) s" | tee -a "$out/summary.txt"
    return $status
}

# kernels TOOL SECONDS: under one of compute-sanitizer's tools.
kernels() {
    local tool=(compute-sanitizer --tool "$1" --error-exitcode 9) seconds=$2
    [ -z "$dry" ] || tool=(env TRITON_INTERPRET=1) seconds=300
    part "$1" "$seconds" "${tool[@]}" "$python" tests/gpu/kernels_once.py
}

prove() {
    local where=() tests=(tests/gpu) seconds=70 failed=0
    if [ -n "$dry" ]; then
        where=(--device cpu --small) tests=(tests/gpu/test_gpu_fused.py) seconds=1
        export VSRDB_TEST_DEVICE=cpu
        part speed 120 "$python" tests/gpu/speed.py "${where[@]}" --size 48x32 --frames 8 \
            --seconds 1 --json "$out/speed.json" || failed=1
    else
        export VSRDB_REQUIRE_GPU=1
        part speed 130 "$python" tests/gpu/speed.py --seconds 95 --json "$out/speed.json" || failed=1
    fi
    part tests 240 "$python" -m pytest -o addopts= -p no:cacheprovider -m gpu -q -rfEs \
        --durations 15 "${tests[@]}" || failed=1
    kernels memcheck 60 || failed=1
    [ -n "$dry" ] || kernels racecheck 45 || failed=1
    part variants 90 "$python" tests/gpu/variants.py "${where[@]}" --seconds $seconds \
        --json "$out/variants.json" || failed=1
    return $failed
}

# train NAME OPTIONS...: by the settings NAME.toml.
train() {
    local name=$1 seconds=560 limit=585 settings=$work/$1.toml
    shift
    cp "tests/gpu/$name.toml" "$settings"
    local options=("$@" --photos "$carried/photos" --out "$out")
    for clips in "$carried"/clips/*/; do
        [ -d "$clips" ] && options+=(--real "$clips")
    done
    if [ -n "$dry" ]; then
        seconds=20 limit=600
        options+=(--device cpu --small)
        sed -i -E 's/^(size = ).*/\116/; s/^(batch = ).*/\11/; s/^(rendered_windows = ).*/\12/' "$settings"
    fi
    part training $limit "$python" tests/gpu/train_for.py "$settings" \
        --seconds "$seconds" "${options[@]}"
}

case $step in
    prove) prove ;;
    train-xs) train train-xs --fit --start weights/fmanet-xs.safetensors ;;
    train-s)
        resume=()
        compgen -G "$carried/train-s/state.pt.*" > /dev/null && resume=(--resume "$carried/train-s")
        train train-s "${resume[@]}"
        ;;
    *) echo "no step is called '$step'" >&2; exit 2 ;;
esac
