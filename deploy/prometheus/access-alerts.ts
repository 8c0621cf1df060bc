// Alerts of what decides who may use a relay and how it is set up: admission, certificates, files, commands.

import type { RuleGroup } from './rule.ts'

const ADMISSION_SLOW = `histogram_quantile(0.9, sum by (job, instance, le) (rate(derp_admission_seconds_bucket{JOB}[5m]))) > 1
or derp_admission_oldest_wait_seconds{JOB} > 3`

/** The check fails in an outage unless the backend fails open. */
const ADMISSION_ERRORS = `sum by (job, instance) (rate(derp_admission_total{JOB,result="unreachable"}[5m]))
  / sum by (job, instance) (rate(derp_admission_total{JOB}[5m])) > 0.05
or sum by (job, instance) (derp_check_ok{JOB,check="admission"} == 0)`

/** Of a life of any length. Self-signed certificates are replaced by hand, once a year. */
const LIFE_LEFT = `(tls_certificate_not_after_timestamp_seconds{JOB} - time())
  / (tls_certificate_not_after_timestamp_seconds{JOB} - tls_certificate_not_before_timestamp_seconds{JOB})`

const CERTIFICATE_TEXT = {
  alert: 'CertificateLifeLow',
  summary:
    'The certificate for {{ $labels.hostname }} at {{ $labels.instance }} has {{ $value | humanizePercentage }} of its life left.',
  description:
    'It should have been renewed at a third of its life. When it expires, clients refuse the relay, and the relay is not ready.',
}

/**
 * Of leases for a day that are made every few minutes, and of those for a month. One that has ended has nothing left, and the relay
 * still shows it.
 */
const LEASE_LIFE_LEFT = `clamp_min(
  (derp_admission_lease_not_after_timestamp_seconds{JOB} - time())
  / (derp_admission_lease_not_after_timestamp_seconds{JOB} - derp_admission_lease_not_before_timestamp_seconds{JOB}), 0)`

const LEASE_TEXT = {
  alert: 'LeaseLifeLow',
  summary:
    'The lease of relay {{ $labels.instance }} has {{ $value | humanizePercentage }} of its life left.',
  description:
    'No newer one has come. Until it ends, clients stay and its members are admitted; new members are refused. Then all are ended and refused, unless the list of keys or a backend admits them.',
}

export const ACCESS_ALERTS: RuleGroup = {
  name: 'derpfleet-access',
  rules: [
    {
      alert: 'AdmissionSlow',
      expr: ADMISSION_SLOW,
      for: '5m',
      severity: 'warning',
      summary: 'Admission at relay {{ $labels.instance }} takes {{ $value | humanizeDuration }}.',
      description:
        'One of ten clients waits that long for the verify URL or tailscaled, or the oldest one does now. After ten seconds a login fails.',
    },
    {
      alert: 'AdmissionErrors',
      expr: ADMISSION_ERRORS,
      for: '2m',
      severity: 'critical',
      summary: 'Relay {{ $labels.instance }} refuses clients because admission does not answer.',
      description:
        'Clients that are connected stay. Those it does not remember, or all after -admission-grace, are refused. If all are, STUN is silent.',
    },
    {
      alert: 'AdmissionBackendDown',
      expr: 'derp_admission_backend_up{JOB} == 0',
      for: '5m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} cannot ask its backend {{ $labels.backend }}.',
      description:
        'Clients that it has admitted before are admitted for -admission-grace (24 hours). New ones are refused.',
    },
    {
      alert: 'AdmissionGraceLow',
      expr: 'derp_admission_grace_left_ratio{JOB} < 0.5',
      for: '0s',
      severity: 'critical',
      summary:
        'Relay {{ $labels.instance }} admits known clients for {{ $value | humanizePercentage }} of -admission-grace more.',
      description:
        'No backend has decided for more than half of that time. When it is over, clients that reconnect are refused.',
    },
    {
      alert: 'AdmissionFailOpen',
      expr: 'increase(derp_admission_total{JOB,result="failed_open"}[5m]) > 0',
      for: '1m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} admits everyone.',
      description: 'The verify URL is not reached, and -verify-client-url-fail-open is set.',
    },
    {
      ...CERTIFICATE_TEXT,
      expr: `${LIFE_LEFT} < 0.25\nunless on (job, instance, hostname) derp_certificate_info{JOB,source="self_signed"}`,
      for: '1h',
      severity: 'warning',
    },
    { ...CERTIFICATE_TEXT, expr: `${LIFE_LEFT} < 0.1`, for: '10m', severity: 'critical' },
    { ...LEASE_TEXT, expr: `${LEASE_LIFE_LEFT} < 0.25`, for: '10m', severity: 'warning' },
    // Of a lease for an hour, a tenth is six minutes.
    { ...LEASE_TEXT, expr: `${LEASE_LIFE_LEFT} < 0.1`, for: '1m', severity: 'critical' },
    {
      alert: 'AcmeFailing',
      expr: 'derp_certificate_last_renewal_successful{JOB} == 0 unless on (job, instance) derp_certificate_info{JOB,source!="acme"}',
      for: '1h',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} gets no certificate from its authority.',
      description:
        'The last attempt failed an hour ago or more. What is in use stays in use until it expires.',
    },
    {
      alert: 'ConfigRefused',
      expr: 'derp_config_last_reload_successful{JOB} == 0',
      for: '5m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} refuses the content of {{ $labels.file }}.',
      description: 'Its previous content stays in use. A restart may fail, or find nothing to use.',
    },
    {
      alert: 'VerbsDenied',
      expr: 'sum by (job, instance) (increase(derp_verbs_denied_total{JOB}[10m])) > 10',
      for: '0s',
      severity: 'warning',
      summary: 'Somebody calls commands of relay {{ $labels.instance }} without the right token.',
      description:
        '{{ $value | humanize }} calls were denied in ten minutes. The log has the addresses (verb_denied).',
    },
  ],
}
