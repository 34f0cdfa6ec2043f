#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "installed.h"
#include "log.h"
#include "openapi.h"
#include "pool.h"
#include "route.h"

static void usage(FILE *out)
{
	fputs("Usage: quilt-api [-c FILE]\n"
	      "       quilt-api --openapi | --routes | --nginx http|server\n\n"
	      "The workers of the Quilt API: FastCGI on RUN_DIR/api.sock and RUN_DIR/api-slow.sock.\n\n"
	      "  -c, --config FILE     settings (default " QT_CONF_PATH ")\n"
	      "      --openapi         print the OpenAPI description and exit\n"
	      "      --routes          print the route table and exit\n"
	      "      --nginx WHICH     print the include file for nginx's http or server level and exit\n"
	      "      --version         print the version and exit\n"
	      "  -h, --help            print this and exit\n\n"
	      "SIGTERM finishes what is held and ends; SIGHUP reads the settings anew.\n",
	      out);
}

int main(int argc, char **argv)
{
	enum { OPENAPI = 256, ROUTES, NGINX, VERSION_ };
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"openapi", no_argument, NULL, OPENAPI},
		{"routes", no_argument, NULL, ROUTES},	  {"nginx", required_argument, NULL, NGINX},
		{"version", no_argument, NULL, VERSION_}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static struct qt_conf conf;
	const char *path = NULL, *complaint, *which = NULL;
	struct qt_err e = {0};
	int opt, what = 0;

	while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			path = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case VERSION_:
			puts("quilt-api " PACKAGE_VERSION);
			return 0;
		case NGINX:
			which = optarg;
			what = opt;
			if (strcmp(which, "http") != 0 && strcmp(which, "server") != 0) {
				usage(stderr);
				return 2;
			}
			break;
		case OPENAPI:
		case ROUTES:
			what = opt;
			break;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	qt_log_init("quilt-api", QT_LOG_INFO);
	complaint = qt_routes_selfcheck();
	if (complaint) {
		fprintf(stderr, "quilt-api: %s\n", complaint);
		return 1;
	}
	if (what == OPENAPI)
		return qt_print_openapi(stdout);
	if (what == ROUTES)
		return qt_print_routes(stdout);
	if (qt_conf_load(&conf, path, &e) < 0) {
		fprintf(stderr, "quilt-api: %s\n", e.msg);
		return 1;
	}
	if (what == NGINX)
		return qt_print_nginx(stdout, which, &conf);
	return qt_pool_run(&conf, path);
}
