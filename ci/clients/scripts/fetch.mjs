// Node's own fetch: fetch.mjs json|stream|upload|download URL [FILE], as ci/clients/http.go says.
import { readFileSync } from 'node:fs'

const [what, url, file] = process.argv.slice(2)
const headers = { authorization: `Bearer ${process.env.KEY}`, 'content-type': 'application/json' }
const answer = await fetch(url, {
  json: { method: 'POST', headers, body: JSON.stringify({ hello: 'world' }) },
  upload: { method: 'PUT', headers, body: file && readFileSync(file) },
}[what] ?? { headers })
if (!answer.ok) throw new Error(answer.status)
for await (const piece of answer.body) process.stdout.write(piece)
