# sources of src/life
