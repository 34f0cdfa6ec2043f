# sources of nginx
