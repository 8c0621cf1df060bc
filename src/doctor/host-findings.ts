// Judges the limits of the relay's host: descriptors, the queue of new connections, what the kernel buffers, and connection
// tracking. A pure function of the facts.

import type { HostFacts } from '#fleet/relay-facts.ts'
import { fail, ok, skip, warn, type Finding } from './finding.ts'

/** The usual limit of a shell leaves room for 900 clients; a relay that serves a company has more. */
const DESCRIPTORS_FEW = 4_096
/** Beyond it the relay refuses clients: it keeps an eighth for itself. */
const DESCRIPTORS_USED_SHARE = 0.8
/** A restart brings all clients back within seconds; 128, the value before Linux 5.4, was overrun by a thousand of them. */
const SOMAXCONN_MIN = 1_024
/** Less than two TLS records: the sender waits for a wake-up at every record, and throughput falls with the round trip. */
const NOTSENT_LOWAT_MIN = 32_768
const CONNTRACK_WARN_SHARE = 0.75
const CONNTRACK_FAIL_SHARE = 0.95

export function hostFindings(host: HostFacts): readonly Finding[] {
  return [descriptors(host), somaxconn(host), notsentLowat(host), conntrack(host)]
}

function descriptors({ descriptorsMax: max, descriptorsUsed: used }: HostFacts): Finding {
  if (max === undefined) return skip('descriptors', 'this system does not tell the limit of open files')
  const seen = `${used ?? 'all'} of ${max} in use`
  const advice =
    'raise the hard limit of open files: LimitNOFILE= in a systemd unit, --ulimit nofile= of docker, ulimit -n in a shell; then restart the relay'
  if (used === undefined || used > max * DESCRIPTORS_USED_SHARE) {
    const expected = `at most ${DESCRIPTORS_USED_SHARE * 100} % of them, since the relay refuses clients beyond`
    return fail('descriptors', { seen, expected, advice })
  }
  if (max < DESCRIPTORS_FEW) {
    const expected = `a limit of ${DESCRIPTORS_FEW} or more: each client needs one`
    return warn('descriptors', { seen, expected, advice })
  }
  return ok('descriptors', seen)
}

function somaxconn({ somaxconn: value, backlog }: HostFacts): Finding {
  if (value === undefined) return skip('somaxconn', 'this system does not tell net.core.somaxconn')
  const seen = `net.core.somaxconn is ${value}`
  if (value >= SOMAXCONN_MIN) return ok('somaxconn', seen)
  return warn('somaxconn', {
    seen,
    expected: `${SOMAXCONN_MIN} or more; the relay asks for ${backlog ?? 'more'}`,
    advice:
      'when all clients reconnect at once, further ones are dropped by the kernel: sysctl -w net.core.somaxconn=8192, and restart the relay (in Kubernetes, securityContext.sysctls)',
  })
}

function notsentLowat({ notsentLowatBytes: bytes }: HostFacts): Finding {
  if (bytes === undefined)
    return skip('notsent-lowat', 'this system does not tell net.ipv4.tcp_notsent_lowat')
  const seen = `net.ipv4.tcp_notsent_lowat is ${bytes >= 2 ** 31 ? 'unlimited' : `${bytes} bytes`}`
  // Unlimited is as good: the relay has at most one write under way for each client, and bounds what waits itself.
  if (bytes >= NOTSENT_LOWAT_MIN) return ok('notsent-lowat', seen)
  return warn('notsent-lowat', {
    seen,
    expected: `${NOTSENT_LOWAT_MIN} bytes or more, or the default`,
    advice:
      'the kernel takes too little at a time, so that throughput falls with the distance of a client: sysctl -w net.ipv4.tcp_notsent_lowat=131072',
  })
}

function conntrack({ conntrackCount: count, conntrackMax: max }: HostFacts): Finding {
  if (count === undefined || max === undefined || max === 0) {
    return ok('conntrack', 'netfilter does not track connections here')
  }
  const seen = `${count} of ${max} connections tracked`
  if (count < max * CONNTRACK_WARN_SHARE) return ok('conntrack', seen)
  const problem = {
    seen,
    expected: `at most ${CONNTRACK_WARN_SHARE * 100} % of net.netfilter.nf_conntrack_max`,
    advice:
      'when the table is full, the kernel drops packets of new clients and of STUN without a trace: raise net.netfilter.nf_conntrack_max, or exempt the ports of the relay from tracking (notrack in the raw table)',
  }
  return count < max * CONNTRACK_FAIL_SHARE ? warn('conntrack', problem) : fail('conntrack', problem)
}
