#include "upload.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "fdio.h"
#include "route.h"
#include "spool.h"
#include "str.h"

#define CHUNK 65536

/* --- the sieve ------------------------------------------------------------------------------------------ */

static int keep(struct qt_json_sieve *s, const char *text, size_t len, struct qt_err *e)
{
	struct qt_err full = {0};

	if (qt_buf_add(&s->rest, text, len, &full) == 0)
		return 0;
	return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "the body has more than %d bytes beside \"%s\"", QT_SIEVE_REST, s->member);
}

static int decode(struct qt_json_sieve *s, const char *text, size_t len, struct qt_err *e)
{
	unsigned char out[CHUNK / 4 * 3 + 3];

	while (len > 0) {
		size_t part = len < CHUNK ? len : CHUNK;
		ssize_t n = qt_b64_decode(&s->b64, out, text, part);

		if (n < 0)
			return qt_fail_field(e, QT_E_BAD_REQUEST, "/content", "base64", "%s is not base64", s->member);
		s->written += (uint64_t)n;
		if (s->written > s->max)
			return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "the archive is larger than this server takes");
		if (qt_write_full(s->out, out, (size_t)n, e) < 0)
			return qt_context(e, "receive the archive");
		text += part;
		len -= part;
	}
	return 0;
}

/* Inside the member's text. How many bytes were taken; -1. */
static ssize_t take(struct qt_json_sieve *s, const char *text, size_t len, struct qt_err *e)
{
	size_t n;

	if (s->escaped) {
		/* What encoders escape in base64: a slash, or the line breaks of some tools. */
		s->escaped = false;
		if (*text == 'n' || *text == 'r')
			return 1;
		return decode(s, *text == '/' ? "/" : "\\", 1, e) < 0 ? -1 : 1;
	}
	for (n = 0; n < len && text[n] != '"' && text[n] != '\\'; n++)
		;
	if (decode(s, text, n, e) < 0)
		return -1;
	if (n == len)
		return (ssize_t)n;
	if (text[n] == '\\') {
		s->escaped = true;
		return (ssize_t)n + 1;
	}
	s->taking = false;
	if (!qt_b64_ended(&s->b64))
		return qt_fail_field(e, QT_E_BAD_REQUEST, "/content", "base64", "%s is not whole base64", s->member);
	return keep(s, "\"", 1, e) < 0 ? -1 : (ssize_t)n + 1;
}

static void in_string(struct qt_json_sieve *s, char ch)
{
	if (s->escaped) {
		s->escaped = false;
		s->name_len = sizeof(s->name); /* an escape: no name of ours */
	} else if (ch == '\\') {
		s->escaped = true;
	} else if (ch == '"') {
		s->in_string = false;
		s->matched = s->is_name && s->depth == 1 && s->name_len == strlen(s->member) && memcmp(s->name, s->member, s->name_len) == 0;
		s->is_name = false;
	} else if (s->name_len < sizeof(s->name)) {
		s->name[s->name_len++] = ch;
	}
}

static void outside(struct qt_json_sieve *s, char ch)
{
	switch (ch) {
	case '{':
	case '[':
		s->is_name = ++s->depth == 1;
		break;
	case '}':
	case ']':
		s->depth -= s->depth > 0;
		break;
	case ',':
		s->is_name = s->depth == 1;
		s->matched = false;
		break;
	case '"':
		s->in_string = true;
		s->name_len = 0;
		break;
	default:
		break;
	}
}

int qt_json_sieve(struct qt_json_sieve *s, const char *text, size_t len, struct qt_err *e)
{
	while (len > 0) {
		ssize_t n = 1;

		if (s->taking) {
			n = take(s, text, len, e);
			if (n < 0)
				return -1;
		} else {
			bool value = s->matched && !s->in_string && s->depth == 1 && *text == '"' && !s->is_name;

			if (keep(s, text, 1, e) < 0)
				return -1;
			if (value) {
				s->taking = true;
				s->matched = false;
			} else if (s->in_string) {
				in_string(s, *text);
			} else {
				outside(s, *text);
			}
		}
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* --- receiving ------------------------------------------------------------------------------------------- */

uint64_t qt_upload_limit(const struct qt_conf *conf, const char *method, const char *raw_uri)
{
	if (!(qt_dispatch_flags(method, raw_uri) & QT_R_UPLOAD))
		return conf->max_body_bytes;
	/* Base64, with line breaks, and the members beside it. */
	return conf->max_archive_bytes / 2 * 3 + QT_SIEVE_REST;
}

static bool type_is(const char *type, const char *want)
{
	size_t n = strlen(want);

	return strncasecmp(type, want, n) == 0 && (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

static bool is_raw(const char *type)
{
	static const char *const types[] = {"application/gzip", "application/x-gzip", "application/x-tar", "application/octet-stream"};

	for (size_t i = 0; i < QT_LEN(types); i++)
		if (type_is(type, types[i]))
			return true;
	return false;
}

static int receive(const struct qt_in *in, struct qt_json_sieve *s, bool raw, struct qt_err *e)
{
	char chunk[8192];

	for (uint64_t left = in->length; left > 0;) {
		int n = in->read(in->read_arg, chunk, left < sizeof(chunk) ? (size_t)left : sizeof(chunk));

		if (n <= 0) /* nginx buffers requests: a short one is a client that left */
			return qt_fail(e, QT_E_BAD_REQUEST, "the body ended early");
		if ((raw ? qt_write_full(s->out, chunk, (size_t)n, e) : qt_json_sieve(s, chunk, (size_t)n, e)) < 0)
			return -1;
		left -= (uint64_t)n;
	}
	return 0;
}

int qt_upload_take(struct qt_call *c, const struct qt_in *in, struct qt_err *e)
{
	const struct qt_conf *conf = c->life->conf;
	bool raw = is_raw(in->content_type);
	struct qt_json_sieve s = {.member = "content", .max = conf->max_archive_bytes, .rest = QT_BUF(QT_SIEVE_REST)};
	int r;

	if (!raw && !type_is(in->content_type, "application/json")) {
		(void)qt_fail_field(e, QT_E_UNSUPPORTED_MEDIA_TYPE, "", "application/json; application/gzip; application/x-tar",
				    "an archive is sent as it is, or as base64 in JSON");
		e->hint = "Send Content-Type: application/gzip or application/x-tar, or application/json.";
		return -1;
	}
	if (in->length > (raw ? conf->max_archive_bytes : qt_upload_limit(conf, in->method, in->uri)))
		return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "the archive is larger than this server takes");
	s.out = qt_spool_new(conf, &c->tenant, e);
	if (s.out < 0)
		return -1;
	c->upload = s.out;
	r = receive(in, &s, raw, e);
	if (r == 0 && lseek(s.out, 0, SEEK_SET) < 0)
		r = qt_fail_sys(e, errno, "receive the archive");
	/* An empty JSON body is none: that is for the decoder to say. */
	c->beside = s.rest.data ? s.rest.data : raw ? NULL : strdup("");
	c->beside_len = s.rest.len;
	return r;
}
