"""Compare restored videos with the ground truth: PSNR, SSIM and tOF."""
