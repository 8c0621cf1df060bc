// The complete list of violations of the DERP protocol by a remote. Each ends that remote's session only, and has one
// counter. Values are stable: they are metric labels and appear in logs.

export const ProtocolError = {
  clientInfoExpected: 'client_info_expected', // the first frame was of another type
  clientInfoLength: 'client_info_length', //     shorter than key and nonce, or over 256 KiB
  keyZero: 'key_zero', //                        the all-zero client key
  boxRefused: 'box_refused', //                  the login box does not open with the client's key
  clientInfoJson: 'client_info_json', //         not an object, or a known field of the wrong type
  meshKeySyntax: 'mesh_key_syntax', //           meshKey is present and not 64 hex digits
  appNameInvalid: 'app_name_invalid', //         over 32 bytes, or not printable ASCII
  sendPacketLength: 'send_packet_length',
  forwardPacketLength: 'forward_packet_length',
  notePreferredLength: 'note_preferred_length',
  watchConnsLength: 'watch_conns_length',
  closePeerLength: 'close_peer_length',
  pingLength: 'ping_length',
  unknownFrameLength: 'unknown_frame_length',
  notPrivileged: 'not_privileged', //            a mesh frame from a client without the mesh key
} as const
export type ProtocolError = (typeof ProtocolError)[keyof typeof ProtocolError]
