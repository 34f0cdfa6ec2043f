/* quota.h - how many streams a tenant has open. */
#ifndef QT_STREAM_QUOTA_H
#define QT_STREAM_QUOTA_H

#include "stream.h"

/* One more of TENANT's. QUOTA_EXCEEDED: it has its fill (setting tenant_streams). */
int sq_quota_take(struct sq *sq, const struct qt_id *tenant, struct qt_err *e);
void sq_quota_give(const struct qt_id *tenant);

#endif
