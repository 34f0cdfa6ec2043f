/* What a client of a terminal says in text. */
#include "fuzz.h"

#include <signal.h>

#include "termmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qt_term_msg m;

	qt_term_parse((const char *)data, size, &m);
	switch (m.kind) {
	case QT_TERM_BAD:
		break;
	case QT_TERM_RESIZE:
		FUZZ_MUST(m.cols >= 1 && m.cols <= 1000 && m.rows >= 1 && m.rows <= 1000);
		break;
	case QT_TERM_SIGNAL:
		FUZZ_MUST(m.signal == SIGINT || m.signal == SIGTERM || m.signal == SIGHUP);
		break;
	case QT_TERM_PING:
		FUZZ_MUST(m.ts && !json_is_object(m.ts) && !json_is_array(m.ts));
		break;
	}
	FUZZ_MUST((m.kind == QT_TERM_PING) == (m.ts != NULL));
	json_decref(m.ts);
	return 0;
}
