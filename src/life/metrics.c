#include "clock.h"
#include "life.h"

#define STATS_BUDGET_MS 5000

/* The contract's flat names are the protocol's: one row each. */
#define N(name) #name, (json_int_t)s.name

json_t *qt_life_metrics(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	struct rt_stats_req req = {.id = c->id};
	struct rt_stats_rep s = {0};
	json_t *j;
	double uptime_usec, percent;

	if (c->state == QT_ST_RUNNING && rt_stats(&l->rt, &req, &s, STATS_BUDGET_MS, e) < 0)
		return NULL;
	uptime_usec = c->started_ms ? (double)(qt_now_ms() - c->started_ms) * 1000.0 : 0;
	percent = uptime_usec > 0 ? 100.0 * (double)s.cpu_usage_usec / uptime_usec : 0;
	if (s.memory_limit_bytes == 0)
		s.memory_limit_bytes = (uint64_t)c->memory_mb << 20;
	j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "container_id", c->id.s, "timestamp",
		      (json_int_t)qt_now_ms(), N(cpu_usage_usec), N(cpu_user_usec), N(cpu_system_usec), N(cpu_throttled_usec),
		      N(memory_current_bytes), N(memory_peak_bytes), N(memory_limit_bytes), N(memory_cache_bytes),
		      N(memory_rss_bytes), N(memory_oom_kills), N(pids));
	json_object_update_new(j, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", N(network_rx_bytes),
					    N(network_tx_bytes), N(network_rx_packets), N(network_tx_packets),
					    N(network_rx_errors), N(network_tx_errors), N(disk_read_bytes),
					    N(disk_write_bytes), N(disk_read_ops), N(disk_write_ops)));
	json_object_set_new(j, "cpu", json_pack("{s:f}", "usage_percent", percent));
	json_object_set_new(j, "memory",
			    json_pack("{s:I, s:I}", "used_mb", (json_int_t)(s.memory_current_bytes >> 20), "limit_mb",
				      (json_int_t)(s.memory_limit_bytes >> 20)));
	return j;
}
