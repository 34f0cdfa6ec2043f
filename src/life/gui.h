/* gui.h - the desktops of prod-gui containers. What their image promises stands here once more than in its recipe (scripts/image-build): a command that brings an X
 * server up, and where that listens with the RFB protocol: a socket in the container, to which only its init connects for us (MI_DIAL). */
#ifndef QT_LIFE_GUI_H
#define QT_LIFE_GUI_H

#include "life.h"

#define QT_GUI_IMAGE   "prod-gui"
#define QT_GUI_COMMAND "/usr/lib/quilt/gui"
#define QT_GUI_SOCKET  "/run/gui/vnc"

bool qt_ctr_has_gui(const struct qt_ctr *c);

/* A connection to the X server's RFB side, the caller's; use it with MSG_DONTWAIT. VALIDATION_ERROR: C has no desktop; INVALID_STATE: it does not run;
 * GUI_NOT_READY: nobody listens there (yet). */
int qt_life_gui_connect(struct qt_life *l, const struct qt_ctr *c, int *ret_fd, struct qt_err *e);

/* Does the X server answer? It says its greeting from the loop in which it serves its clients. */
bool qt_life_gui_answers(struct qt_life *l, const struct qt_ctr *c);

/* A file of noVNC, as the image on this node has it (not the container: its pages would be the tenant's). PATH is relative. *RET is the caller's, free(); a NUL
 * follows its LEN bytes. NOT_FOUND. */
int qt_life_gui_file(struct qt_life *l, const char *path, char **ret, size_t *len, struct qt_err *e);

#endif
