// A pod of the Helm chart, as far as this machine can be one: the command, settings and files that the chart says, in network and
// mount namespaces of their own, as the user of the pod without any right. The command of `helm test` finds it good, commands
// reach it as by `kubectl exec`, it reads what `helm upgrade` changes, and it drains when its pod is deleted. The image is not part of this.

import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { runOk, runProcess } from '../support/process.ts'
import { Chart, examplePath, FLEET_FILE, objectOf } from './chart.ts'
import { inFolder, writePodFiles } from './pod-files.ts'
import { PROGRAM } from '../support/program-path.ts'

const programs = await foreignPrograms('helm')
const chart = new Chart('paths' in programs ? programs.paths.helm : '')

const NOBODY = [
  'setpriv',
  '--reuid=65532',
  '--regid=65532',
  '--clear-groups',
  '--bounding-set=-all',
  '--no-new-privs',
]
const CAN_BE_A_POD =
  spawnSync('unshare', ['--net', '--mount', 'ip', 'link', 'set', 'lo', 'up']).status === 0 &&
  spawnSync(NOBODY[0] ?? '', [...NOBODY.slice(1), PROGRAM, 'serve', '-version']).status === 0
if (!CAN_BE_A_POD) {
  process.stderr.write(
    'SKIPPING the pod of the chart: it needs root, namespaces, and a project that all users may read\n',
  )
}

const POD = 'fra-derpfleet-0'

/** What the pod runs, and what is asked of it, one after the other; each prints its exit code. */
function script(folder: TemporaryFolder, environment: readonly string[], probe: readonly string[]): string {
  const inPod = (command: string): string =>
    `env -u HOME ${environment.join(' ')} ${NOBODY.join(' ')} ${PROGRAM} ${command}`
  return `set -u
ip link set lo up
mount --bind ${folder.at('hosts')} /etc/hosts
cd ${folder.at('etc/settings')}
mkdir ..first
for file in *.yaml; do mv $file ..first; ln -s ..data/$file $file; done
ln -s ..first ..data
chown -hR 65532:65532 ${folder.path}
cd /
${inPod('serve')} 2>${folder.at('log')} & relay=$!
for second in $(seq 200); do
  ${process.execPath} -e 'fetch("http://127.0.0.1:9090/readyz").then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' && break
  sleep 0.1
done
${inPod(probe.map((arg) => `'${arg}'`).join(' '))}; echo "probe $?"
${inPod('status')}; echo "status $?"
ln -s ..upgraded ${folder.at('etc/settings/..data_tmp')}
mv -T ${folder.at('etc/settings/..data_tmp')} ${folder.at('etc/settings/..data')}
for second in $(seq 200); do
  grep -q '"event":"regions_changed"' ${folder.at('log')} && grep -q '"event":"relay_reloaded"' ${folder.at('log')} && break
  sleep 0.1
done
${inPod('status')} >/dev/null; echo "upgrade $?"
kill -TERM $relay; wait $relay; echo "stop $?"
cat ${folder.at('log')} >&2
`
}

describe.skipIf('missing' in programs || !CAN_BE_A_POD)('a pod of the chart', () => {
  it(
    'serves as nobody, passes helm test, answers commands, reads an upgrade and stops in order',
    { timeout: 60_000 },
    async () => {
      using folder = new TemporaryFolder()
      const set = ['mesh.caSecret.name="derp-ca"', 'drain.settle="0s"']
      const objects = await chart.objects({ values: [FLEET_FILE, examplePath('cluster-ip')], set })
      await writePodFiles(folder, objectOf(objects, 'ConfigMap', 'fra-derpfleet-settings').data ?? {})
      // Kubernetes changes the files of a ConfigMap by one link.
      const upgraded = await chart.objects({
        values: [FLEET_FILE, examplePath('cluster-ip')],
        set: [...set, 'settings.log-level="debug"', 'regions.902.state="draining"'],
        showOnly: 'templates/settings.yaml',
      })
      for (const [name, text] of Object.entries(objectOf(upgraded, 'ConfigMap').data ?? {})) {
        folder.write(`etc/settings/..upgraded/${name}`, inFolder(folder, text))
      }
      const map = objectOf(objects, 'ConfigMap', 'fra-derpfleet-test').data?.['derpmap.json'] ?? ''
      folder.write('etc/map/derpmap.json', map)
      folder.write('hosts', `127.0.0.1 localhost ${POD}.fra-derpfleet-pods.derp.svc\n`)
      const [container] = objectOf(objects, 'StatefulSet').spec.template.spec.containers
      const variables = container.env as readonly { readonly name: string; readonly value?: string }[]
      const environment = variables.map(({ name, value = POD }) => {
        return `${name}=${inFolder(folder, value.replace('$(POD_NAME)', POD))}`
      })
      expect(container.args).toEqual(['serve'])
      const [test] = objectOf(objects, 'Job').spec.template.spec.containers
      const probe = (test.args as readonly string[]).map((arg) => inFolder(folder, arg))
      await runOk('chmod', ['755', folder.path])
      const path = folder.write('run.sh', script(folder, environment, probe))
      const { stdout, stderr } = await runProcess('unshare', ['--net', '--mount', 'sh', path], {
        timeoutMs: 50_000,
      })
      expect(stdout.match(/^(?:probe|status|upgrade|stop) \d+$/gm), stdout + stderr).toEqual([
        'probe 0',
        'status 0',
        'upgrade 0',
        'stop 0',
      ])
      for (const check of ['stun IPv4', 'login IPv4', 'packet', 'full-packet', 'websocket']) {
        expect(stdout).toMatch(new RegExp(`^ +ok +${check} `, 'm'))
      }
      expect(stderr).toMatch(/"event":"relay_reloaded".*-log-level: .*now \\"debug\\"/)
      expect(stderr).toMatch(/"event":"regions_changed".*902/)
      expect(stderr).toContain('"event":"relay_drained"')
      expect(stderr).not.toMatch(/"level":"(?:error|fatal)"/)
    },
  )
})
