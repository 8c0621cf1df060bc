// Loaded into every thread of a program under test (`node --import`): the package koffi is not installed.

import { registerHooks } from 'node:module'

registerHooks({
  resolve(specifier, context, nextResolve) {
    if (specifier !== 'koffi') return nextResolve(specifier, context)
    throw Object.assign(new Error("Cannot find package 'koffi'"), { code: 'ERR_MODULE_NOT_FOUND' })
  },
})
