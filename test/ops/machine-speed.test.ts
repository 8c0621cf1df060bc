import { expect, it } from 'vitest'
import { MachineSpeed } from '#ops/machine-speed.ts'

it('is that of the reference machine until it is measured, and then of one not unlike it', () => {
  const speed = new MachineSpeed()
  expect(speed.slowness).toBe(1)
  for (let look = 0; look < 3; look++) speed.look()
  // A hundred times in either direction is no machine that runs this.
  expect(speed.slowness).toBeGreaterThan(0.01)
  expect(speed.slowness).toBeLessThan(100)
  const before = speed.slowness
  speed.look()
  // The shortest of all.
  expect(speed.slowness).toBeLessThanOrEqual(before)
})
