// The dashboards of deploy/grafana: the files are those that the generator writes, and keep the conventions of docs/monitoring.md.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { boardFiles } from '../../deploy/grafana/write.ts'

const FOLDER = fileURLToPath(new URL('../../deploy/grafana/', import.meta.url))

it.each(Object.entries(boardFiles()))('%s is the file that the generator writes', (name, text) => {
  expect(readFileSync(FOLDER + name, 'utf8')).toBe(text)
})
