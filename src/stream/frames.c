#include "frames.h"

#include <openssl/evp.h>

int qt_frame_data(struct qt_buf *b, const char *type, const void *data, size_t len, struct qt_err *e)
{
	char *room;

	if (qt_buf_fmt(b, e, "{\"type\":\"%s\",\"data_b64\":\"", type) < 0)
		return -1;
	room = qt_buf_room(b, 4 * (len / 3 + 1) + 1, e);
	if (!room)
		return -1;
	b->len += (size_t)EVP_EncodeBlock((unsigned char *)room, data, (int)len);
	return qt_buf_str(b, "\"}\n", e);
}
