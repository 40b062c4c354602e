"""Open and demux files safely; what each container format can hold."""
