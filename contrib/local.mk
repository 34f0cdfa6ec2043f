# sources of contrib
