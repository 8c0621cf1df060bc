// The events of the log by stable names: the `event` of each line. Queries and alerts are written against these names,
// so a name is never reused for another event. `docs/log-events.md` describes each. An event that occurs once per packet
// is a metric and never a line.

export const LogEvent = {
  // Start, stop and settings
  settingWarning: 'setting_warning', // a setting that has no effect, or needs attention; the relay starts all the same
  fileCreated: 'file_created', // a key or a certificate, by the first start
  startFailed: 'start_failed', // the process ends
  relayStarted: 'relay_started',
  relayReady: 'relay_ready',
  relayNotReady: 'relay_not_ready', // a check of /readyz started to fail
  relayReloaded: 'relay_reloaded', // settings and files that were read again
  configRejected: 'config_rejected', // the new configuration is invalid; the previous one stays in use
  reloadFailed: 'reload_failed', // a bug in this program; what was in use stays in use
  restartNeeded: 'restart_needed', // settings that were changed and cannot change while the relay serves
  stateFolderUnusable: 'state_folder_unusable', // the relay serves without it, and cannot be reached by commands
  verbCalled: 'verb_called', // a command that may change something, and its result
  verbRead: 'verb_read', // a command that only reads
  addressBanned: 'address_banned', // it went on beyond its rate of connections or logins
  monthBytes: 'month_bytes', // four fifths of what may be sent in a month are sent, or all of it
  monthBytesFree: 'month_bytes_free', // everything is relayed again
  monthNotKept: 'month_not_kept', // the state folder can't be written to: a restart forgets what was sent in this month
  verbDenied: 'verb_denied', // a call on the admin port without the right token
  verbsDeniedSuppressed: 'verbs_denied_suppressed', // the number of such calls without a line of their own
  verbFailed: 'verb_failed', // a bug in this program; the command failed
  verbsSocketMissing: 'verbs_socket_missing', // the socket for commands was removed, and is made again
  verbsFailed: 'verbs_failed', // commands no longer reach the relay
  logLevelChanged: 'log_level_changed', // after SIGUSR2
  relayDraining: 'relay_draining', // clients are moved away; the relay stops afterwards
  relayDrained: 'relay_drained', // no client is left: how many were moved, and what was lost
  relayStopping: 'relay_stopping',
  relayStopped: 'relay_stopped',
  stopFailed: 'stop_failed', // a part did not stop; the process ends itself by SIGKILL
  relayFailed: 'relay_failed', // a bug in this program; the process ends

  // Runs of one relay on one host
  runJoined: 'run_joined', // this run has joined the one that serves, and will take over when it is ready
  runJoins: 'run_joins', // a later run has joined this one
  runHandsOver: 'run_hands_over', // the later run serves; this one drains and ends
  runTookOver: 'run_took_over', // this run is in charge now
  runHandOverLate: 'run_hand_over_late', // the earlier run did not hand over in time; this one serves all the same
  runLinked: 'run_linked', // the link to the earlier run was lost, and is there again
  runEnded: 'run_ended', // the earlier run has drained and ended
  runLost: 'run_lost', // the link to another run has ended before its time; clients of the two do not reach each other

  // Certificates
  certificateLoaded: 'certificate_loaded', // the first one
  certificateReplaced: 'certificate_replaced', // new handshakes get another certificate; connections stay
  certificateRefused: 'certificate_refused', // the source has none that can serve; what is in use stays in use
  certificateRecovered: 'certificate_recovered', // after certificate_refused: the source has again what is in use
  certificateExpiring: 'certificate_expiring', // in the last tenth of its life nothing has renewed it

  // Threads and the process
  threadDied: 'thread_died', // a bug in this program ended a relay thread; the thread is restarted
  threadRestarted: 'thread_restarted',
  stunDied: 'stun_died', // a bug in this program ended the STUN thread; the thread is restarted
  stunRestarted: 'stun_restarted',
  laneDied: 'lane_died', // a bug in this program ended the lane's thread, or it could not listen again; it is restarted
  laneRestarted: 'lane_restarted',
  countriesUnknown: 'countries_unknown', // the table of countries does not load; countries are counted as unknown
  nativeFailed: 'native_failed', // native calls do not work here; other ways are used
  nativeOff: 'native_off', // native calls are not wanted; other ways are used
  socketsInherited: 'sockets_inherited', // from the service manager
  systemdUnreachable: 'systemd_unreachable', // a message to the service manager failed; logged once
  handleSelfTestFailed: 'handle_self_test_failed', // this Node's internal handles do not work; public sockets are used
  opensslFailed: 'openssl_failed', // TLS by native calls of OpenSSL does not work here; the runtime's is used
  descriptorLimitLow: 'descriptor_limit_low', // the limit of open files leaves room for few clients
  descriptorsExhausted: 'descriptors_exhausted', // none is left for clients; new connections are refused
  descriptorsAvailable: 'descriptors_available', // again, after descriptors_exhausted
  memoryShort: 'memory_short', // the process has too little memory; new connections are refused
  memoryEnough: 'memory_enough', // again, after memory_short
  runtimeWarning: 'runtime_warning', // a warning of the Node.js runtime
  libraryPrinted: 'library_printed', // text that a library printed on the console
  logLinesLost: 'log_lines_lost', // lines could not be written; writing works again
  adminFailed: 'admin_failed', // the admin port no longer listens
  adminPageFailed: 'admin_page_failed', // a page of the admin port failed

  // Sessions
  sessionStarted: 'session_started', // a login
  sessionsStartedSuppressed: 'sessions_started_suppressed', // the number of logins without a line of their own
  homeChanged: 'home_changed', // a client made this relay its home relay, or ceased to
  sessionEnded: 'session_ended',
  sessionsEndedSuppressed: 'sessions_ended_suppressed', // the number of ends without a line of their own

  // Admission
  admissionBackendDown: 'admission_backend_down', // a backend fails; clients are refused, or all are admitted
  admissionBackendUp: 'admission_backend_up', // again, after admission_backend_down
  admissionFailed: 'admission_failed', // a bug in this program; the waiting clients were refused

  // Mesh
  siblingUp: 'sibling_up',
  siblingDown: 'sibling_down',
  siblingIsSelf: 'sibling_is_self', // this relay is listed among its own siblings
  siblingKeyConflict: 'sibling_key_conflict', // another relay uses this relay's key; the two do not mesh
  siblingsChanged: 'siblings_changed', // a name of -mesh-dns resolves to other relays
  meshDnsFailed: 'mesh_dns_failed', // a name of -mesh-dns does not resolve; its relays so far stay known
  meshKeysChanged: 'mesh_keys_changed',
  meshKeysRejected: 'mesh_keys_rejected', // the file's new content is invalid; the previous content stays in use
  regionsChanged: 'regions_changed',
  regionsRejected: 'regions_rejected', // the file's new content is invalid; the previous content stays in use
  keyListChanged: 'key_list_changed',
  keyListRejected: 'key_list_rejected', // the file's new content is invalid; the previous content stays in use
  leaseChanged: 'lease_changed',
  leaseRejected: 'lease_rejected', // the file's new content is no lease to go by; the lease in use holds until its end
  leaseEnding: 'lease_ending', // in the last tenth of its time nothing has replaced the lease
  leaseEnded: 'lease_ended', // it admits nobody any more
  leaseNotKept: 'lease_not_kept', // the state folder can't be written to: a restart forgets the lease and its serial
  clockJumped: 'clock_jumped', // the host's clock; leases go by the time before, unless it stays so
  clockFollowed: 'clock_followed', // leases go by the host's clock again
  admissionNotKept: 'admission_not_kept', // the state folder can't be written to: a restart forgets who was admitted
  laneRosterChanged: 'lane_roster_changed',
  laneRosterRejected: 'lane_roster_rejected', // the file's new content is invalid; the previous content stays in use
  laneNotKept: 'lane_not_kept', // the state folder can't be written to: after a restart, peers of the lane register again
  mapChanged: 'map_changed', // clients of the DERP map reconnect to the regions that changed
  mapStale: 'map_stale', // this relay does not see the majority of the fleet, and drops no region from the DERP map
  mapCurrent: 'map_current',
  mapNotKept: 'map_not_kept', // the state folder can't be written to: after a restart the DERP map begins with the file's
  credentialsRejected: 'credentials_rejected', // the file's new content is invalid; the previous content stays in use
  fileUsableAgain: 'file_usable_again', // a file with rejected content is valid and in use again
  keyDirectoryConnected: 'key_directory_connected',
  keyDirectoryDisconnected: 'key_directory_disconnected', // known keys stay known; others are not found

  // Fleet
  fleetRelayDown: 'fleet_relay_down', // a relay has ended, or is silent for too long
  fleetRelayDraining: 'fleet_relay_draining', // a relay moves its clients away
  fleetRelayUp: 'fleet_relay_up', // again, after one of these
  fleetConflict: 'fleet_conflict', // two relays claim one node, or one key
  fleetMajorityLost: 'fleet_majority_lost', // this relay sees half of the fleet's relays or fewer
  fleetMajorityBack: 'fleet_majority_back',
  fleetStateRefused: 'fleet_state_refused', // a sibling's state that makes no sense, at most a line a minute for each kind
} as const
export type LogEvent = (typeof LogEvent)[keyof typeof LogEvent]
