// What the log tells of, by stable names: the `event` of each line. Queries and alerts are written against these, so a
// name is never reused for something else. Everything that happens per packet is a metric and never a line.

export const LogEvent = {
  settingWarning: 'setting_warning', //     a setting that stops nothing and deserves a look
  fileMade: 'file_made', //                 by the first start: a key, a certificate
  startFailed: 'start_failed', //           the process ends
  relayStarted: 'relay_started',
  relayReady: 'relay_ready',
  relayNotReady: 'relay_not_ready', //      a check of /readyz began to fail
  relayReloaded: 'relay_reloaded', //       asked to by SIGHUP: which files were read again
  logLevelChanged: 'log_level_changed', //  by SIGUSR2
  relayStopping: 'relay_stopping',
  relayStopped: 'relay_stopped',
  stopFailed: 'stop_failed', //             a part did not end; the process ends all the same, by SIGKILL
  relayFailed: 'relay_failed', //           a fault of ours; the process ends
  threadDied: 'thread_died', //             a fault of ours in a relay thread; it is started anew
  threadRestarted: 'thread_restarted', //   one that had died serves again
  stunDied: 'stun_died', //                 a fault of ours in the STUN thread; it is started anew
  stunRestarted: 'stun_restarted', //       it serves again
  handlesFailed: 'handles_failed', //       this Node's inside is not as expected: slower sockets are used
  descriptorsFew: 'descriptors_few', //     the limit of open files allows for few clients
  descriptorsShort: 'descriptors_short', // none is left for clients; who comes is refused
  descriptorsOver: 'descriptors_over', //   there are some again
  siblingUp: 'sibling_up',
  siblingDown: 'sibling_down',
  meshKeysChanged: 'mesh_keys_changed',
  meshKeysRefused: 'mesh_keys_refused', //  what the file holds now is not used
  credentialsRefused: 'credentials_refused', // what the file holds now is not used
  regionsChanged: 'regions_changed',
  regionsRefused: 'regions_refused', //     what the file holds now is not used
  fileUsableAgain: 'file_usable_again', //  a file that was refused is used again
  membersChanged: 'members_changed', //     of the mesh, by DNS
  directoryReached: 'directory_reached',
  directoryLost: 'directory_lost', //       keys of other regions are not found; what is known stays known
  meshNameFailed: 'mesh_name_failed', //    a name of -mesh-dns does not resolve; who was known by it stays known
  siblingIsSelf: 'sibling_is_self', //      this relay is listed among its siblings, and found itself
  siblingHasCopiedKey: 'sibling_has_copied_key', // two relays with one key: neither meshes with the other
  admissionLost: 'admission_lost', //       a back end of admission fails; clients are refused, or all admitted
  admissionReached: 'admission_reached', // it works again
  admissionFailed: 'admission_failed', //   a fault of ours; who waited was refused
  sessionStarted: 'session_started', //     a login
  sessionsStartedMore: 'sessions_started_more', // how many logged in without a line of their own
  homeChanged: 'home_changed', //           a client makes this relay its home, or no more
  sessionEnded: 'session_ended',
  sessionsEndedMore: 'sessions_ended_more', // how many ended without a line of their own
  nodeWarning: 'node_warning', //           of the runtime itself
  libraryPrinted: 'library_printed', //     by a library, in its own words
  logLinesLost: 'log_lines_lost', //        they could not be written; it works again
  adminFailed: 'admin_failed',
  adminPageFailed: 'admin_page_failed',
} as const
export type LogEvent = (typeof LogEvent)[keyof typeof LogEvent]
