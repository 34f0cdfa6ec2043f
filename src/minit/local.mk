# sources of src/minit
