#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fdio.h"
#include "idem.h"
#include "installed.h"
#include "openapi.h"
#include "route.h"
#include "str.h"
#include "upload.h"

/* "string|null" -> {"type": ["string", "null"]} */
static json_t *type_schema(const char *type)
{
	json_t *list = json_array(), *s = json_object();

	while (*type) {
		size_t n = strcspn(type, "|");

		json_array_append_new(list, json_stringn(type, n));
		type += n + (type[n] == '|');
	}
	json_object_set_new(s, "type", json_array_size(list) == 1 ? json_incref(json_array_get(list, 0)) : json_incref(list));
	json_decref(list);
	return s;
}

struct doc {
	json_t *paths, *schemas;
};

static json_t *ref_of(struct doc *d, const struct qt_reply *reply);

static json_t *member_schema(struct doc *d, const struct qt_rfield *f)
{
	json_t *s;

	if (f->of && qt_streq(f->type, "object"))
		return ref_of(d, f->of);
	s = type_schema(f->type);
	if (f->of)
		json_object_set_new(s, "items", ref_of(d, f->of));
	return s;
}

static json_t *ref_of(struct doc *d, const struct qt_reply *reply)
{
	json_t *props, *required;

	if (!json_object_get(d->schemas, reply->name)) {
		props = json_object();
		required = json_array();
		for (const struct qt_rfield *f = reply->fields; f->name; f++) {
			json_object_set_new(props, f->name, member_schema(d, f));
			if (!f->optional)
				json_array_append_new(required, json_string(f->name));
		}
		json_object_set_new(d->schemas, reply->name,
				    json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", props, "required",
					      required, "additionalProperties", 0));
	}
	return json_pack("{s:s+}", "$ref", "#/components/schemas/", reply->name);
}

static void add_success(struct doc *d, json_t *responses, int status, const struct qt_reply *reply, const struct qt_route *r)
{
	json_t *content = json_object();
	char key[8];

	if (reply)
		json_object_set_new(content, "application/json", json_pack("{s:o}", "schema", ref_of(d, reply)));
	for (const char *const *t = r->types; t && *t; t++)
		json_object_set_new(content, *t, json_pack("{s:{s:s}}", "schema", "type", "string"));
	if (r->flags & QT_R_TEXT_TOO)
		json_object_set_new(content, "text/markdown", json_pack("{s:{s:s}}", "schema", "type", "string"));
	if (r->flags & QT_R_BYTES_TOO)
		json_object_set_new(content, "application/octet-stream", json_object());
	(void)snprintf(key, sizeof(key), "%d", status);
	json_object_set_new(responses, key, json_pack("{s:s}", "description", reply ? reply->name : r->summary));
	if (json_object_size(content) > 0)
		json_object_set(json_object_get(responses, key), "content", content);
	json_decref(content);
}

static void add_error(json_t *responses, enum qt_code code)
{
	const struct qt_err_row *row = qt_err_row(code);
	char key[8];
	json_t *r, *codes;

	(void)snprintf(key, sizeof(key), "%d", row->status);
	r = json_object_get(responses, key);
	if (!r) {
		r = json_pack("{s:s, s:{s:{s:{s:s}}}, s:[]}", "description", "error", "content", "application/json", "schema",
			      "$ref", "#/components/schemas/Error", "x-error-codes");
		json_object_set_new(responses, key, r);
	}
	codes = json_object_get(r, "x-error-codes");
	for (size_t i = 0; i < json_array_size(codes); i++)
		if (qt_streq(json_string_value(json_array_get(codes, i)), row->name))
			return;
	json_array_append_new(codes, json_string(row->name));
}

static void put_words(json_t *schema, const char *const *words)
{
	json_t *list = json_array();

	for (; *words; words++)
		json_array_append_new(list, json_string(*words));
	json_object_set_new(schema, "type", json_string("string"));
	json_object_set_new(schema, "enum", list);
}

static void add_parameters(json_t *op, const struct qt_route *r)
{
	json_t *list = json_array();

	for (const char *p = strchr(r->path, '{'); p; p = strchr(p, '{')) {
		size_t n = strcspn(++p, "*}");

		json_array_append_new(list, json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", p, n, "in", "path", "required", 1,
						      "schema", "type", "string"));
	}
	if (r->query) {
		for (const struct qt_qfield *q = r->query; q->name; q++) {
			json_t *schema = json_object();

			switch (q->kind) {
			case QT_Q_U64:
				json_object_set_new(schema, "type", json_string("integer"));
				json_object_set_new(schema, "minimum", json_integer((json_int_t)q->min));
				json_object_set_new(schema, "maximum", json_integer((json_int_t)q->max));
				break;
			case QT_Q_BOOL:
				json_object_set_new(schema, "type", json_string("boolean"));
				break;
			case QT_Q_WORD:
				put_words(schema, q->words);
				break;
			case QT_Q_WORDS:
				json_object_set_new(schema, "type", json_string("array"));
				json_object_set_new(schema, "items", json_object());
				put_words(json_object_get(schema, "items"), q->words);
				break;
			case QT_Q_LABEL:
				json_object_set_new(schema, "type", json_string("array"));
				json_object_set_new(schema, "items", json_pack("{s:s}", "type", "string"));
				break;
			case QT_Q_STR:
				json_object_set_new(schema, "type", json_string("string"));
				break;
			}
			json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", q->name, "in", "query",
							      "description", q->doc, "schema", schema));
		}
	}
	if (qt_idem_for(r))
		json_array_append_new(list, json_pack("{s:s+}", "$ref", "#/components/parameters/", "IdempotencyKey"));
	if (json_array_size(list) > 0)
		json_object_set(op, "parameters", list);
	json_decref(list);
}

static void add_route(const struct qt_route *r, void *arg)
{
	struct doc *d = arg;
	json_t *path = json_object_get(d->paths, r->path), *responses = json_object(), *op;
	const enum qt_code *common = qt_common_errors(r);
	char method[8] = "";

	for (size_t i = 0; i < sizeof(method) - 1 && r->method[i]; i++)
		method[i] = (char)(r->method[i] | 0x20);
	add_success(d, responses, r->ok, r->reply, r);
	if (r->also_ok)
		add_success(d, responses, r->also_ok, r->also_reply, r);
	for (size_t i = 0; common[i]; i++)
		add_error(responses, common[i]);
	for (size_t i = 0; i < QT_ERRS_MAX && r->errors[i]; i++)
		add_error(responses, r->errors[i]);
	if (r->flags & QT_R_SLOW)
		add_error(responses, QT_E_TENANT_BUSY);
	op = json_pack("{s:s, s:s, s:i, s:o}", "operationId", r->id, "summary", r->summary, "x-budget-ms", (int)r->budget_ms,
		       "responses", responses);
	add_parameters(op, r);
	if (r->body)
		json_object_set_new(op, "requestBody",
				    json_pack("{s:b, s:{s:{s:o}}}", "required", !(r->flags & QT_R_EMPTY_OK), "content",
					      "application/json", "schema", qt_schema(r->body)));
	if (r->flags & QT_R_UPLOAD) {
		json_t *content = json_object_get(json_object_get(op, "requestBody"), "content");

		json_object_set_new(content, "application/gzip", json_object());
		json_object_set_new(content, "application/x-tar", json_object());
	}
	if (r->scope == QT_SCOPE_PUBLIC)
		json_object_set_new(op, "security", json_array());
	if (!path) {
		path = json_object();
		json_object_set_new(d->paths, r->path, path);
	}
	json_object_set_new(path, method, op);
}

static json_t *header_parameters(void)
{
	return json_pack("{s:{s:s, s:s, s:s, s:{s:s, s:i, s:s}}}", "IdempotencyKey", "name", "Idempotency-Key", "in", "header", "description",
			 "The same request with the same key is carried out once: who sends it again within 24 hours gets the first answer, "
			 "with Idempotency-Replayed: true. Answers of 5xx and 429 are not kept.",
			 "schema", "type", "string", "maxLength", 255, "pattern", "^[!-~]+$");
}

int qt_print_openapi(FILE *out)
{
	struct doc d = {json_object(), json_object()};
	json_t *doc, *details;

	qt_route_each(add_route, &d);
	details = json_pack("{s:[s,s], s:{s:{s:s}, s:{s:s, s:{s:s}}, s:{s:s}, s:{s:s}, s:{s:s}}}", "type", "object", "null", "properties",
			    "field", "type", "string", "expected", "type", "array", "items", "type", "string", "received", "type",
			    "string", "example", "type", "string", "state", "type", "string");
	doc = json_pack("{s:s, s:{s:s, s:s}, s:[{s:[]}, {s:[]}], s:o, s:{s:{s:{s:s, s:[s,s,s], s:{s:{s:s}, s:{s:s}, s:{s:s}, s:o, "
			"s:{s:[s,s]}, s:{s:[s,s]}}}}, s:{s:{s:s, s:s, s:s}, s:{s:s, s:s}}}}",
			"openapi", "3.1.0", "info", "title", "Quilt", "version", PACKAGE_VERSION, "security", "apiKey", "bearer",
			"paths", d.paths, "components", "schemas", "Error", "type", "object", "required", "error", "error_code",
			"request_id", "properties", "error", "type", "string", "error_code", "type", "string", "request_id",
			"type", "string", "details", details, "retry_after", "type", "integer", "null", "hint", "type", "string",
			"null", "securitySchemes", "apiKey", "type", "apiKey", "in", "header", "name", "X-Api-Key", "bearer",
			"type", "http", "scheme", "bearer");
	if (doc)
		json_object_set_new(json_object_get(doc, "components"), "parameters", header_parameters());
	if (doc)
		json_object_update(json_object_get(json_object_get(doc, "components"), "schemas"), d.schemas);
	json_decref(d.schemas);
	if (!doc || json_dumpf(doc, out, JSON_INDENT(1) | JSON_SORT_KEYS) < 0) {
		json_decref(doc);
		return 1;
	}
	json_decref(doc);
	return fputc('\n', out) == EOF;
}

static void print_route(const struct qt_route *r, void *arg)
{
	fprintf(arg, "%-7s %-40s %-22s %d%s\n", r->method, r->path, r->id, r->ok, r->flags & QT_R_SLOW ? " slow" : r->flags & (QT_R_STREAM | QT_R_FOLLOW) ? " stream" : "");
}

int qt_print_routes(FILE *out)
{
	qt_route_each(print_route, out);
	return ferror(out);
}

int qt_print_nginx(FILE *out, const char *which, const struct qt_conf *conf)
{
	const char *path = qt_streq(which, "http") ? QT_DATADIR "/nginx/quilt-http.conf.in" : QT_DATADIR "/nginx/quilt-server.conf.in";
	auto_free char *text = malloc(65536);
	struct qt_err e = {0};

	if (!text || qt_read_file(AT_FDCWD, path, text, 65536, &e) < 0) {
		fprintf(stderr, "quilt-api: %s: %s\n", path, e.msg);
		return 1;
	}
	for (const char *p = text; *p;) {
		if (qt_starts(p, "@RUN_DIR@")) {
			fputs(conf->run_dir, out);
			p += strlen("@RUN_DIR@");
		} else if (qt_starts(p, "@MAX_BODY@")) {
			fprintf(out, "%" PRIu64, conf->max_body_bytes);
			p += strlen("@MAX_BODY@");
		} else if (qt_starts(p, "@MAX_UPLOAD@")) {
			/* The largest of any route; each has its own, which the auth request tells before the body is taken in. */
			fprintf(out, "%" PRIu64, qt_upload_limit(conf, "POST", "/api/volumes/v/archive"));
			p += strlen("@MAX_UPLOAD@");
		} else {
			fputc(*p++, out);
		}
	}
	return ferror(out);
}
