/* openapi.h - what is printed from the route table. */
#ifndef QT_OPENAPI_H
#define QT_OPENAPI_H

#include <stdio.h>

#include "conf.h"

/* All return an exit status. */
int qt_print_openapi(FILE *out);
int qt_print_routes(FILE *out);

/* DATADIR/nginx/quilt-WHICH.conf.in with these replaced: @RUN_DIR@, @MAX_BODY@. WHICH is "http" or "server". */
int qt_print_nginx(FILE *out, const char *which, const struct qt_conf *conf);

#endif
