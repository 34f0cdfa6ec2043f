/* Operations: one thread a slot takes them from the queue and executes them. */
#include <string.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "life.h"
#include "log.h"
#include "str.h"

#define FINISH_S    10 /* so long a result is held for a store that is away; then the operation is executed again, and finds it done */
#define AWAY_GAP_MS 500

static void finish(struct agent *a, struct qt_life *l, const struct qt_op_entry *x)
{
	int64_t give_up = qt_mono_ms() + FINISH_S * 1000;
	struct qt_err e = {0};

	while (qt_store_op_finish(l->store, x, &e) < 0) {
		if (e.code != QT_E_STORE_UNAVAILABLE || qt_left_ms(give_up) == 0) {
			qt_log_err(QT_LOG_WARN, &e, "%s %s: its end could not be recorded", qt_op_type_name(x->op.type), x->op.id.s);
			return;
		}
		qt_err_reset(&e);
		agent_pause(a, AWAY_GAP_MS);
	}
}

static void execute(struct agent *a, struct qt_life *l, struct qt_op_entry *x)
{
	int64_t begin = qt_mono_ms();
	struct qt_err e = {0};

	if (qt_store_op_begin(l->store, x, &e) < 0) {
		if (e.code != QT_E_CONFLICT) /* cancelled, or another's: nothing to tell */
			qt_log_err(QT_LOG_WARN, &e, "%s %s cannot begin", qt_op_type_name(x->op.type), x->op.id.s);
		return;
	}
	if (qt_life_execute(l, x, &e) < 0) {
		qt_log_err(QT_LOG_WARN, &e, "%s %s is put off", qt_op_type_name(x->op.type), x->op.id.s);
		return;
	}
	finish(a, l, x);
	qt_log(QT_LOG_INFO, "%s %s container=%s status=%s attempt=%u ms=%lld%s%s", qt_op_type_name(x->op.type), x->op.id.s,
	       x->op.container.s, qt_op_status_name(x->op.status), x->op.attempts, (long long)(qt_mono_ms() - begin),
	       x->op.error_code[0] ? " code=" : "", x->op.error_code);
}

void *agent_slot_main(void *arg_)
{
	const struct agent_slot_arg *arg = arg_;
	struct agent_trouble away = {.what = "a slot cannot begin"};
	struct agent *a = arg->a;
	struct qt_err e = {0};
	struct qt_life l;

	while (qt_life_init(&l, &a->conf, &e) < 0) {
		agent_trouble(&away, &e);
		qt_err_reset(&e);
		agent_pause(a, AWAY_GAP_MS);
		if (atomic_load(&a->stopping))
			return NULL;
	}
	while (!atomic_load(&a->stopping)) {
		struct qt_op_entry x;

		if (!agent_take(a, arg->i, &x))
			continue;
		execute(a, &l, &x);
		agent_let_go(a, arg->i);
		qt_op_done(&x.op);
	}
	qt_life_done(&l);
	return NULL;
}
