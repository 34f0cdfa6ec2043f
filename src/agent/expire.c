/* Snapshots whose time is over go within a second of it. A thread of its own, since deleting one may take its time. */
#include "agent.h"
#include "life.h"
#include "log.h"
#include "settle.h"

#define LOOK_MS 1000

void *agent_expire_main(void *arg)
{
	struct agent *a = arg;
	struct agent_trouble away = {.what = "expired snapshots cannot be deleted"};
	struct qt_err e = {0};
	struct qt_life l;

	while (qt_life_init(&l, &a->conf, &e) < 0 && !atomic_load(&a->stopping)) {
		agent_trouble(&away, &e);
		qt_err_reset(&e);
		agent_pause(a, LOOK_MS);
	}
	while (!atomic_load(&a->stopping)) {
		unsigned gone = 0;

		qt_err_reset(&e);
		if (qt_settle_expired(&l, &gone, &e) < 0)
			agent_trouble(&away, &e);
		else
			agent_well(&away);
		if (gone > 0)
			qt_log(QT_LOG_INFO, "%u snapshots have expired", gone);
		agent_pause(a, LOOK_MS);
	}
	qt_life_done(&l);
	return NULL;
}
