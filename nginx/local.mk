# The include files of an existing nginx; `quilt-api --nginx` fills them in.
nobase_dist_quiltdata_DATA += nginx/quilt-http.conf.in nginx/quilt-server.conf.in
