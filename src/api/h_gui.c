/* Desktops. Pages come from us and from the image on this node, never from a container: what a tenant has in there does not run in the name of the API's host.
 * From the container comes RFB alone. */
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "clock.h"
#include "handlers.h"
#include "life/gui.h"
#include "origin.h"
#include "str.h"

#define PATH_MAX_ 256

/* The first page. noVNC's own is told by its URL what to do; what is in ours, the pass, is not in that one. */
static const char index_html[] = "<!DOCTYPE html>\n"
				 "<html lang=\"en\">\n"
				 "<head><meta charset=\"utf-8\"><title>Desktop</title><script src=\"open.js\"></script></head>\n"
				 "<body><noscript>The desktop needs JavaScript.</noscript></body>\n"
				 "</html>\n";
static const char open_js[] = "const base = location.pathname.slice(1, location.pathname.lastIndexOf('/') + 1);\n"
			      "const what = new URLSearchParams({autoconnect: '1', reconnect: '1', resize: 'remote', path: base + 'websockify'});\n"
			      "location.replace('vnc.html?' + what);\n";

static const struct {
	const char *path, *text;
} ours[] = {{"index.html", index_html}, {"open.js", open_js}};

static const struct {
	const char *ending, *type;
} types[] = {
	{".html", "text/html; charset=utf-8"}, {".js", "text/javascript; charset=utf-8"}, {".css", "text/css; charset=utf-8"}, {".json", "application/json"},
	{".svg", "image/svg+xml"}, {".png", "image/png"}, {".ico", "image/x-icon"}, {".mp3", "audio/mpeg"}, {".oga", "audio/ogg"}, {".woff", "font/woff"}, {".ttf", "font/ttf"},
};

static const char *type_of(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < QT_LEN(types); i++)
		if (strcasecmp(dot, types[i].ending) == 0)
			return types[i].type;
	return "application/octet-stream";
}

static int with_gui(struct qt_call *c, struct qt_ctr *k, int *ret_fd, struct qt_err *e)
{
	int rc;

	if (qt_h_container(c, k, e) < 0)
		return -1;
	rc = qt_life_gui_connect(c->life, k, ret_fd, e);
	if (rc < 0)
		qt_ctr_done(k);
	return rc;
}

int qt_h_gui_url(struct qt_call *c, struct qt_err *e)
{
	struct qt_gui_pass p = {.until_s = qt_now_ms() / 1000 + (int64_t)c->life->conf->gui_link_s, .tenant = c->tenant};
	char pass[QT_GUI_PASS_MAX];
	auto_close int fd = -1;
	struct qt_ctr k;
	int rc;

	if (!qt_id_parse(&p.key, "key", c->key_id))
		return qt_fail(e, QT_E_UNAUTHORIZED, "no API key");
	/* A link that leads to nothing yet would be tried once, and found broken. */
	if (with_gui(c, &k, &fd, e) < 0)
		return -1;
	rc = qt_gui_sign(pass, c->life->conf, QT_GUI_LINK, &k.id, &p, e);
	if (rc == 0)
		c->reply = json_pack("{s:o, s:I}", "gui_url", json_sprintf("/gui/%s/?gui_token=%s", k.id.s, pass), "expires_at", (json_int_t)p.until_s);
	qt_ctr_done(&k);
	return rc;
}

/* RET has PATH_MAX_ bytes. */
static bool join(char *ret, const char *const *segments)
{
	size_t n = 0;

	for (; *segments; segments++) {
		size_t len = strlen(*segments);

		if (n + len + 2 > PATH_MAX_)
			return false;
		if (n > 0)
			ret[n++] = '/';
		memcpy(ret + n, *segments, len + 1);
		n += len;
	}
	return n > 0;
}

int qt_h_gui_file(struct qt_call *c, struct qt_err *e)
{
	char path[PATH_MAX_];
	struct qt_ctr k;
	bool has;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	has = qt_ctr_has_gui(&k);
	qt_ctr_done(&k);
	if (!has)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/image", QT_GUI_IMAGE, "the container has no desktop");
	if (!join(path, c->rest))
		return qt_fail(e, QT_E_NOT_FOUND, "there is no such file");
	c->text_type = type_of(path);
	for (size_t i = 0; i < QT_LEN(ours); i++)
		if (qt_streq(path, ours[i].path)) {
			c->text = strdup(ours[i].text);
			return c->text ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		}
	return qt_life_gui_file(c->life, path, &c->text, &c->text_len, e);
}

/* The browser sends the cookie whoever's page asks, so a page of ours it must be, and the browser say so. */
static int check_upgrade(const struct qt_call *c, struct qt_err *e)
{
	const struct qt_upgrade *u = &c->upgrade;

	if (strcasecmp(u->to, "websocket") != 0)
		return qt_fail_field(e, QT_E_BAD_REQUEST, "Upgrade", "websocket", "this is for WebSockets");
	if (*u->protocols)
		return qt_fail_field(e, QT_E_BAD_REQUEST, "Sec-WebSocket-Protocol", "none", "there are no subprotocols here");
	if (!qt_origin_allowed(u->origin, u->host, c->life->conf->public_url, ""))
		return qt_fail(e, QT_E_FORBIDDEN, "only pages of this host may open desktops");
	return 0;
}

int qt_h_gui_socket(struct qt_call *c, struct qt_err *e)
{
	struct qt_begun *b = &c->begun;
	struct qt_ctr k;

	if (check_upgrade(c, e) < 0 || with_gui(c, &k, &b->gui.fd, e) < 0)
		return -1;
	b->gui.tenant = k.tenant;
	b->gui.container = k.id;
	qt_ctr_done(&k);
	b->type = "application/json";
	b->kind = QT_BEGUN_GUI;
	return 0;
}
