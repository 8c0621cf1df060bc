// Judges what the relay says of itself: readiness, settings, clock, state folder, regions file, admission, renewal. A pure
// function of the facts.

import type { RelayFacts } from '#fleet/relay-facts.ts'
import { fail, listed, ok, skip, warn, type Finding } from './finding.ts'

/** Clocks of hosts with NTP agree within a tenth of a second; a second is the time that an answer may take. */
const SKEW_WARN_MS = 5_000
/** New certificates are valid from an hour before their issue; beyond some minutes, tokens and logs are of no use. */
const SKEW_FAIL_MS = 60_000
/** Sockets and small files: room for them is never the question, but a full disk breaks all else of the host. */
const FREE_BYTES_MIN = 16_777_216
/** Whether clients accept the certificate is looked at by itself. */
const SELF_SIGNED = /is self-signed; clients accept it only/
/** Each of these has a finding of its own, with more in it. */
const ELSEWHERE = new Set(['admission', 'certificate', 'mesh'])

export function relayFindings(facts: RelayFacts): readonly Finding[] {
  return [
    ready(facts),
    settings(facts),
    stateFolder(facts),
    regionsFile(facts),
    admission(facts),
    renewal(facts),
  ]
}

function ready({ checks, isDerpEnabled }: RelayFacts): Finding {
  const failing = checks.filter(({ name, isOk }) => !isOk && !ELSEWHERE.has(name))
  if (failing.length > 0) {
    return fail('ready', {
      seen: listed(failing.map(({ name, detail }) => `${name}: ${detail}`)),
      expected: 'all checks of /readyz pass; meanwhile STUN is silent, so that clients choose another region',
      advice: 'see docs/signals-and-health.md for each check; the log has the moment at which it failed',
    })
  }
  if (!isDerpEnabled) {
    return warn('ready', {
      seen: 'the relay serves no DERP (-derp=false)',
      expected: 'a relay that relays',
      advice: 'leave -derp out, unless this is a STUN server only',
    })
  }
  return ok('ready', `${checks.length} checks of /readyz looked at`)
}

function settings(facts: RelayFacts): Finding {
  const warnings = (facts.warnings ?? []).filter((text) => !SELF_SIGNED.test(text))
  if (warnings.length === 0) return ok('settings', 'no warnings at the start')
  return warn('settings', {
    seen: listed(warnings),
    expected: 'no warnings at the start',
    advice:
      'correct the settings named, then restart the relay; derpfleet serve -check shows them without a start',
  })
}

/**
 * @param others clocks that were read at the same moment as the relay's, each with its owner
 * @param subject empty: the relay that was asked
 */
export function clockFinding(
  relayMs: number,
  others: readonly { readonly of: string; readonly nowMs: number }[],
  subject = '',
): Finding {
  if (others.length === 0) return skip('clock', 'no other clock to compare with', subject)
  const skews = others.map(({ of, nowMs }) => ({ of, ms: relayMs - nowMs }))
  const off = skews.filter(({ ms }) => Math.abs(ms) > SKEW_WARN_MS)
  if (off.length === 0) return ok('clock', `agrees with ${listed(skews.map(({ of }) => of))}`, subject)
  const text = listed(
    off.map(({ of, ms }) => `${seconds(Math.abs(ms))} s ${ms > 0 ? 'ahead of' : 'behind'} ${of}`),
  )
  // If others agree with this relay, one of those that do not is wrong.
  const isOwn = off.length > 1 && off.length * 2 > skews.length
  const problem = {
    subject,
    seen: `the clock of the relay is ${text}`,
    expected: `clocks that differ by less than ${SKEW_WARN_MS / 1_000} s`,
    advice: isOwn
      ? 'set the clock of the relay by NTP (timedatectl, chronyc tracking): certificates are judged and renewed by it'
      : 'set the clock of this relay and of those named by NTP (timedatectl, chronyc tracking)',
  }
  const worstMs = Math.max(...off.map(({ ms }) => Math.abs(ms)))
  return worstMs > SKEW_FAIL_MS ? fail('clock', problem) : warn('clock', problem)
}

function seconds(ms: number): string {
  return String(Math.round(ms / 1_000))
}

function stateFolder({ stateFolder: { path, problem, freeBytes } }: RelayFacts): Finding {
  if (path === undefined) return skip('state-folder', 'the relay has none (-dev)')
  if (problem !== undefined) {
    return fail('state-folder', {
      subject: path,
      seen: problem,
      expected: 'a folder of the user of the relay, mode 0700',
      advice:
        'correct its owner and mode, or name another by -state-dir, and restart the relay: without it there are no commands on this host, and no upgrade in place',
    })
  }
  if (freeBytes !== undefined && freeBytes < FREE_BYTES_MIN) {
    return warn('state-folder', {
      subject: path,
      seen: `${freeBytes} bytes are free on its file system`,
      expected: `${FREE_BYTES_MIN} bytes or more`,
      advice: 'make room: certificates that are renewed cannot be kept there',
    })
  }
  return ok('state-folder', path)
}

function regionsFile({ regions }: RelayFacts): Finding {
  if (regions === undefined) return skip('regions-file', 'the relay has no -regions-file')
  const { path, problems, isInUse } = regions
  if (problems.length > 0) {
    return fail('regions-file', {
      subject: path,
      seen: listed(problems),
      expected:
        'a file that the relay can use; it goes on with the content before, and does not start with this one',
      advice: 'correct the places named; derpfleet map check FILE reports all of them',
    })
  }
  if (!isInUse) {
    return warn('regions-file', {
      subject: path,
      seen: 'the file says something else than the relay uses',
      expected: 'the content of the file in use, some seconds after a change',
      advice: 'run doctor again in a few seconds; if it stays, derpfleet reload says why',
    })
  }
  return ok('regions-file', path)
}

function admission({ admission: { isOpen, result, reason } }: RelayFacts): Finding {
  if (isOpen) return ok('admission', 'open: nobody is asked')
  const advice =
    'see docs/admission.md: URL, name and certificate of the back end, and the network between; curl -d {} URL on the host of the relay shows most causes'
  const expected = 'a back end that decides about each client'
  if (result === 'unreachable') {
    return fail('admission', {
      seen: `the back end does not answer: ${reason ?? ''}; all new clients are refused`,
      expected,
      advice,
    })
  }
  if (result === 'failed_open') {
    return fail('admission', {
      seen: `the back end does not answer: ${reason ?? ''}; all clients are admitted`,
      expected,
      advice,
    })
  }
  return ok('admission', 'the back end decides')
}

function renewal({ certificate, isTls }: RelayFacts): Finding {
  if (!isTls || certificate === undefined) return skip('renewal', 'the relay speaks plain TCP')
  if (certificate.failure === undefined) return ok('renewal', 'the last attempt did not fail')
  return fail('renewal', {
    seen: certificate.failure,
    expected: 'a certificate that is renewed in time',
    advice: 'see docs/acme.md and docs/certificates.md; the certificate in use goes on until it expires',
  })
}
