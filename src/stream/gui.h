/* gui.h - desktops: a WebSocket on one side, the X server of a container on the other. */
#ifndef QT_STREAM_GUI_H
#define QT_STREAM_GUI_H

#include "stream.h"

/* The callback of the protocol "gui". */
int sq_gui_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* Close all, "come again"; how many are still there. */
unsigned sq_guis_stop(void);

#endif
