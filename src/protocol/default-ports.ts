// The ports of a relay unless its entry in the DERP map says otherwise.

/** Where clients connect, by TCP. */
export const DERP_PORT = 443
/** Where clients send STUN requests, by UDP. */
export const STUN_PORT = 3_478
