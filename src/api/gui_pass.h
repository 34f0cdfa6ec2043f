/* gui_pass.h - who may see a desktop: links with a pass in them (gui_token), and the cookie that a browser gets for one. A pass names an API key, its tenant, a container and an
 * end, and is signed (HMAC-SHA256, setting gui_secret_file). It opens /gui/{that container}/ and nothing else, and no longer than the key is good. */
#ifndef QT_GUI_PASS_H
#define QT_GUI_PASS_H

#include "life.h"

#define QT_GUI_PASS_MAX	  192
#define QT_GUI_COOKIE	  "__Secure-quilt-gui"
#define QT_GUI_COOKIE_MAX (QT_GUI_PASS_MAX + 160)

enum qt_gui_kind { QT_GUI_LINK = 'l', QT_GUI_COOKIE_PASS = 'c' };
struct qt_gui_pass {
	int64_t until_s; /* since 1970 */
	struct qt_id tenant, key;
};

int qt_gui_sign(char ret[QT_GUI_PASS_MAX], const struct qt_conf *conf, enum qt_gui_kind kind, const struct qt_id *container,
		const struct qt_gui_pass *p, struct qt_err *e);
/* UNAUTHORIZED: it is not one of that kind for that container, or its time is over at NOW_S. */
int qt_gui_verify(struct qt_gui_pass *ret, const struct qt_conf *conf, enum qt_gui_kind kind, const struct qt_id *container, const char *text,
		  int64_t now_s, struct qt_err *e);

/* The next value of our cookie in the header COOKIES from *AT on (0 at first): there may be several. False: no more. */
bool qt_gui_cookie_next(char ret[QT_GUI_PASS_MAX], const char *cookies, size_t *at);

/* Does LINK ("" if there is none) or else one of COOKIES (the header; NULL) open CONTAINER's desktop? 1: *RET is the key in whose name, and SET_COOKIE what a
 * Set-Cookie header is to say ("": nothing). 0: neither is there. -1: UNAUTHORIZED, RATE_LIMITED. */
int qt_gui_auth(struct qt_life *l, const struct qt_id *container, const char *link, const char *cookies, struct qt_apikey *ret,
		char set_cookie[QT_GUI_COOKIE_MAX], unsigned *retry_after_s, struct qt_err *e);

#endif
