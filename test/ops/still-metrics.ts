// Which metrics do not move on the pages of running relays through which all kinds of clients, packets and mistakes pass.

import { laneFamilies } from '#ops/lane-families.ts'
import { laneOf } from './sources.ts'

/** Always the same while a process runs: what it is, and what it was started with. */
export const CONSTANT = new Set([
  'derp_build_info',
  'derp_relay_info',
  'derp_native_info',
  'derp_certificate_info',
  'derp_threads',
  'process_start_time_seconds',
  'process_max_fds',
  'process_memory_limit_bytes',
  'nodejs_version_info',
  'process_start_unix_time',
  'version',
])

/**
 * Those that move only after a fault, a reload, an upgrade, or with NATS, ACME or a lane: such tests exist, but none has all of them. Here
 * their pages are made from sources that differ.
 */
export const RARE = [
  'derp_accept_limit_burst',
  'derp_accept_limit_per_second',
  'derp_address_bans_total',
  'derp_address_refusals_total',
  'derp_addresses_banned',
  'derp_admission_lease_not_after_timestamp_seconds',
  'derp_admission_lease_not_before_timestamp_seconds',
  'derp_admission_lease_serial',
  'derp_admission_oldest_wait_seconds',
  'derp_admission_overflows_total',
  'derp_budget_bytes_per_second',
  'derp_budget_packets_per_second',
  'derp_certificate_failures_total',
  'derp_certificate_last_renewal_success_timestamp_seconds',
  'derp_certificate_last_renewal_successful',
  'derp_connections_out_of_descriptors_total',
  'derp_connections_out_of_memory_total',
  'derp_connections_rejected_total',
  'derp_countries_known',
  'derp_drain_packets_handed_on_total',
  'derp_drain_packets_held_total',
  'derp_drain_packets_lost_total',
  'derp_key_directory_announced_keys',
  'derp_key_directory_answers_total',
  'derp_key_directory_connected',
  'derp_key_directory_connects_total',
  ...laneFamilies(laneOf(0)()).map(({ name }) => name),
  'derp_log_lines_lost_total',
  'derp_lookups_total',
  'derp_map_stale',
  'derp_memory_bound_bytes',
  'derp_month_limit_bytes',
  'derp_rate_limit_burst_bytes',
  'derp_rate_limit_bytes_per_second',
  'derp_rate_limit_per_client_burst_bytes',
  'derp_rate_limit_per_client_bytes_per_second',
  'derp_rate_limit_per_client_waited',
  'derp_rate_limit_waits_total',
  'derp_run',
  'derp_sclient_write_timeouts',
  'derp_send_queue_bytes',
  'derp_send_queue_limit_bytes',
  'derp_send_queue_limit_packets',
  'derp_send_queue_packets',
  'derp_sibling_dropped_packets_total',
  'derp_sibling_keys_refused',
  'derp_sibling_ping_loss_ratio',
  'derp_sibling_queue_bytes',
  'derp_state_folder_usable',
  'derp_tenant_months',
  'derp_thread_restarts_total',
  'derp_waiting_limit_bytes',
  'derp_write_stalls_total',
  'derp_write_timeout_seconds',
  'tls_certificate_not_after_timestamp_seconds',
  'tls_certificate_not_before_timestamp_seconds',
  'tls_listener_rejected_connections',
  'tls_useless_record_disconnects_total',
]
/** Move or not, as the machine and the moment want it. */
export const BY_CHANCE = new Set([
  'derp_send_queue_bytes',
  'derp_send_queue_packets',
  'derp_sibling_ping_loss_ratio',
  'derp_sibling_queue_bytes',
  'derp_rate_limit_waits_total',
  'derp_rate_limit_per_client_waited',
  'nodejs_gc_duration_seconds',
])
