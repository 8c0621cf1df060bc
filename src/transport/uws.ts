// uWebSockets.js, from whichever package it is installed. The build from the npm registry has named exports; the
// author's own package, published from its Git repository, is CommonJS and arrives as a default export.

import * as installed from 'uWebSockets.js'

const uWS = 'default' in installed ? (installed.default as typeof installed) : installed

export const { App, us_socket_local_port: localPortOf } = uWS
