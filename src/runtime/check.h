/* check.h - is what a create or a start asks for within bounds? The workers looked already, with better words. */
#ifndef RT_CHECK_H
#define RT_CHECK_H

#include "runtime.h"

int rt_check_hostname(const struct rt_str *s, struct qt_err *e);
int rt_check_workdir(const struct rt_str *s, struct qt_err *e);
#define RT_USER_MAX 63
int rt_check_run(const struct rt_str *user, uint32_t stop_signal, struct qt_err *e);
int rt_check_words(const struct rt_strv *argv, const struct rt_strv *env, struct qt_err *e);
int rt_check_limits(const struct rt *rt, uint32_t memory_mb, uint32_t cpu_centi, struct qt_err *e);
/* CAPACITY_FULL when what runs leaves no room for so much more. */
int rt_check_room(const struct rt *rt, uint32_t memory_mb, struct qt_err *e);

#endif
