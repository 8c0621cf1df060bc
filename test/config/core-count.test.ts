import { expect, test } from 'vitest'
import { quotaCores, usableCoreCount, type CgroupPaths } from '#config/core-count.ts'
import { TemporaryFolder } from './temporary-folder.ts'

/** Writes the files that the kernel would show: the process's groups, and files below the mount point. */
function cgroups(
  folder: TemporaryFolder,
  membership: string,
  files: Readonly<Record<string, string>>,
): CgroupPaths {
  for (const [path, text] of Object.entries(files)) folder.write(`fs/${path}`, text)
  return { membership: folder.write('cgroup', membership), mount: folder.at('fs') }
}

test.each([
  ['version 2 in a container', '0::/\n', { 'cpu.max': '150000 100000\n' }, 1.5],
  ['version 2 without a quota', '0::/\n', { 'cpu.max': 'max 100000\n' }, Infinity],
  [
    'the smallest quota of nested groups',
    '0::/system.slice/derpfleet.service\n',
    {
      'system.slice/cpu.max': '200000 100000\n',
      'system.slice/derpfleet.service/cpu.max': '350000 100000\n',
    },
    2,
  ],
  [
    'version 1',
    '3:cpu,cpuacct:/docker/ab\n0::/\n',
    {
      'cpu,cpuacct/docker/ab/cpu.cfs_quota_us': '50000\n',
      'cpu,cpuacct/docker/ab/cpu.cfs_period_us': '100000\n',
    },
    0.5,
  ],
  [
    "version 1 in a container, where the host's path is not visible",
    '1:cpu:/docker/ab\n',
    { 'cpu/cpu.cfs_quota_us': '300000\n', 'cpu/cpu.cfs_period_us': '100000\n' },
    3,
  ],
  [
    'version 1 without a quota',
    '1:cpu:/\n',
    { 'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n' },
    Infinity,
  ],
  ['another controller', '1:memory:/\n', { 'memory/cpu.max': '1 100000\n' }, Infinity],
  ['no control groups', '', {}, Infinity],
])('reads the quota of %s', (_name, membership, files, expected) => {
  using folder = new TemporaryFolder()
  expect(quotaCores(cgroups(folder, membership, files))).toBe(expected)
})

test.each([
  ['the cores without a quota', 4, 'max 100000', 4],
  ['no more than the quota allows', 4, '250000 100000', 2],
  ['no more than the machine has', 2, '800000 100000', 2],
  ['at least one', 4, '20000 100000', 1],
])('counts %s', (_name, cores, quota, expected) => {
  using folder = new TemporaryFolder()
  expect(usableCoreCount(cores, cgroups(folder, '0::/\n', { 'cpu.max': quota }))).toBe(expected)
})

test('counts at least one core on this machine', () => {
  expect(usableCoreCount()).toBeGreaterThanOrEqual(1)
})
