#include "gui.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "images.h"
#include "inner.h"
#include "minit_client.h"
#include "str.h"

#define DIAL_BUDGET_MS 2000
#define GREET_MS       2000
#define FILE_MAX       (8U << 20)

static const char greeting[] = "RFB 003.";

bool qt_ctr_has_gui(const struct qt_ctr *c)
{
	return !c->image_id.s[0] && qt_streq(c->image, QT_GUI_IMAGE);
}

static int dial(struct qt_life *l, const struct qt_ctr *c, int *ret_fd, struct qt_err *e)
{
	auto_close int conn = -1;
	int r = qt_life_connect(l, c, &conn, e);

	if (r == 0)
		r = mi_dial(conn, QT_GUI_SOCKET, DIAL_BUDGET_MS, ret_fd, e);
	if (r == 0)
		return qt_fail(e, QT_E_GUI_NOT_READY, "the container's desktop is not up");
	return r < 0 ? -1 : 0;
}

int qt_life_gui_connect(struct qt_life *l, const struct qt_ctr *c, int *ret_fd, struct qt_err *e)
{
	if (qt_life_may(c, QT_V_EXEC, e) < 0)
		return -1;
	if (!qt_ctr_has_gui(c)) {
		(void)qt_fail_field(e, QT_E_VALIDATION_ERROR, "/image", QT_GUI_IMAGE, "the container has no desktop");
		e->hint = "Create a container with the image prod-gui.";
		return -1;
	}
	return dial(l, c, ret_fd, e);
}

bool qt_life_gui_answers(struct qt_life *l, const struct qt_ctr *c)
{
	int64_t deadline = qt_mono_ms() + GREET_MS;
	auto_close int fd = -1;
	struct qt_err e = {0};
	char text[sizeof(greeting) - 1];
	size_t got = 0;

	if (dial(l, c, &fd, &e) < 0)
		return false;
	while (got < sizeof(text)) {
		ssize_t n = recv(fd, text + got, sizeof(text) - got, MSG_DONTWAIT);
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (n > 0)
			got += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR) || poll(&p, 1, qt_left_ms(deadline)) == 0)
			return false;
	}
	return memcmp(text, greeting, sizeof(text)) == 0;
}

int qt_life_gui_file(struct qt_life *l, const char *path, char **ret, size_t *len, struct qt_err *e)
{
	return qt_life_image_file(l, QT_GUI_IMAGE, path, FILE_MAX, ret, len, e);
}
