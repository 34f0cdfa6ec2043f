/* account.h - the rows of tenants and keys. Private to src/store. */
#ifndef QT_ACCOUNT_H
#define QT_ACCOUNT_H

#include "conn.h"

extern const struct qt_mtable qt_tenant_table, qt_apikey_table;

/* PLAN and its quotas into T. VALIDATION_ERROR: there is no such plan. */
int qt_tenant_set_plan(struct qt_tenant *t, const char *plan, struct qt_err *e);

/* Lower-case hexadecimal of the SHA-256 of KEY. */
int qt_key_digest(char out[65], const char *key, struct qt_err *e);

/* The pages of FUNCTION ("qt_tenant_list"), each record as a struct of SIZE bytes to FN. */
int qt_account_each(struct qt_store *s, const char *function, const struct qt_mtable *t, size_t size,
		    void (*fn)(const void *record, void *arg), void *arg, struct qt_err *e);

#endif
