#include <string.h>

#include "buf.h"
#include "guides.h"
#include "handlers.h"
#include "query.h"
#include "str.h"

#define TEXT_MAX 65536

static const char *const notes[] = {
	"POST /api/containers answers when the container runs: 201 with its readiness. Nothing needs to be polled.",
	"command is an argv array. For a shell's syntax: [\"/bin/sh\", \"-lc\", \"npm test && npm run lint\"].",
	"The end of command does not end the container: it runs, and takes execs, until stop, kill or delete.",
	"Wherever a path has a container's id, its name is taken too; the id is safer.",
	"start and resume answer 202 with an operation: GET its status_url until it is final.",
	"execution=async on create, stop and delete answers 202 at once.",
	"What is to outlive a container belongs in a volume: POST /api/volumes, then volumes: [\"NAME:/target\"] or [\"NAME:/target:ro\"] at create. Several "
	"containers may share one; it can be renamed or deleted when none has it.",
	"Images of your own: POST /api/oci/images/pull, then oci: true and the same reference as image at create. What the image says (entrypoint, command, "
	"environment, directory, user) counts unless the request says otherwise; command replaces entrypoint and command.",
};

static const struct {
	const char *title, *method, *path, *body;
} examples[] = {
	{"Create a container", "POST", "/api/containers",
	 "{\"name\": \"demo\", \"image\": \"prod\", \"command\": [\"/bin/sh\", \"-lc\", \"echo hello && sleep 300\"]}"},
	{"Make a volume", "POST", "/api/volumes", "{\"name\": \"data\", \"options\": {\"size\": \"1G\"}}"},
	{"Pull an image", "POST", "/api/oci/images/pull", "{\"reference\": \"docker.io/library/alpine:3.20\"}"},
	{"Create a container of it", "POST", "/api/containers",
	 "{\"name\": \"alpine\", \"image\": \"docker.io/library/alpine:3.20\", \"oci\": true, \"command\": [\"sleep\", \"300\"]}"},
	{"Create a container that has it", "POST", "/api/containers", "{\"name\": \"worker\", \"volumes\": [\"data:/data\"]}"},
	{"Run a command in it", "POST", "/api/containers/demo/exec", "{\"command\": [\"/bin/sh\", \"-lc\", \"uname -a\"]}"},
	{"See what it is ready for", "GET", "/api/containers/demo/ready", NULL},
	{"Read its log", "GET", "/api/containers/demo/logs?limit=20", NULL},
	{"Throw it away", "DELETE", "/api/containers/demo", NULL},
};

bool qt_guide_markdown(const struct qt_call *c)
{
	return qt_streq(qt_query_str(c, "format", "json"), "markdown") || strstr(c->accept, "text/markdown");
}

static void json_route(const struct qt_route *r, void *arg)
{
	json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:i}", "method", r->method, "path", r->path, "summary", r->summary,
					     "success", r->ok));
}

struct text {
	struct qt_buf b;
	struct qt_err e;
};

static void text_route(const struct qt_route *r, void *arg)
{
	struct text *t = arg;

	(void)qt_buf_fmt(&t->b, &t->e, "| %s | `%s` | %d | %s |\n", r->method, r->path, r->ok, r->summary);
}

static int give_text(struct qt_call *c, struct text *t, struct qt_err *e)
{
	if (t->e.code != QT_OK) {
		qt_buf_done(&t->b);
		*e = t->e;
		return -1;
	}
	c->text = t->b.data;
	c->text_type = "text/markdown; charset=utf-8";
	return 0;
}

int qt_h_guide_help(struct qt_call *c, struct qt_err *e)
{
	struct text t = {QT_BUF(TEXT_MAX), {0}};
	json_t *routes, *list;

	if (qt_guide_markdown(c)) {
		(void)qt_buf_str(&t.b, "# containers\n\n| method | path | success | what it does |\n| --- | --- | --- | --- |\n", &t.e);
		qt_route_each(text_route, &t);
		(void)qt_buf_str(&t.b, "\n", &t.e);
		for (size_t i = 0; i < QT_LEN(notes); i++)
			(void)qt_buf_fmt(&t.b, &t.e, "- %s\n", notes[i]);
		return give_text(c, &t, e);
	}
	routes = json_array();
	list = json_array();
	qt_route_each(json_route, routes);
	for (size_t i = 0; i < QT_LEN(notes); i++)
		json_array_append_new(list, json_string(notes[i]));
	c->reply = json_pack("{s:s, s:o, s:o}", "concern", "containers", "routes", routes, "notes", list);
	return 0;
}

int qt_h_guide_examples(struct qt_call *c, struct qt_err *e)
{
	struct text t = {QT_BUF(TEXT_MAX), {0}};
	json_t *list;

	if (qt_guide_markdown(c)) {
		(void)qt_buf_str(&t.b, "# containers: examples\n", &t.e);
		for (size_t i = 0; i < QT_LEN(examples); i++)
			(void)qt_buf_fmt(&t.b, &t.e, "\n## %s\n\n```sh\ncurl -X %s -H \"X-Api-Key: $QUILT_API_KEY\"%s%s%s \\\n"
						     "  \"$QUILT_BASE_URL%s\"\n```\n",
					 examples[i].title, examples[i].method,
					 examples[i].body ? " -H 'Content-Type: application/json' -d '" : "",
					 examples[i].body ? examples[i].body : "", examples[i].body ? "'" : "", examples[i].path);
		return give_text(c, &t, e);
	}
	list = json_array();
	for (size_t i = 0; i < QT_LEN(examples); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "title", examples[i].title, "method",
						      examples[i].method, "path", examples[i].path, "body",
						      examples[i].body ? json_loads(examples[i].body, 0, NULL) : json_null()));
	c->reply = json_pack("{s:s, s:o}", "concern", "containers", "examples", list);
	return 0;
}

/* Measured: Redis answers, the runtime answers. */
int qt_h_guide_health(struct qt_call *c, struct qt_err *e)
{
	struct rt_info_req q = {0};
	struct rt_info_rep i;

	if (qt_store_ping(c->life->store, e) < 0 || rt_info(&c->life->rt, &q, &i, 2000, e) < 0)
		return -1;
	c->reply = json_pack("{s:s, s:s, s:b, s:[{s:s, s:b}, {s:s, s:b}]}", "concern", "containers", "status", "ok", "ready", 1,
			     "checks", "name", "store", "ok", 1, "name", "runtime", "ok", 1);
	return 0;
}
