// A WebSocket of the realtime API: ws.mjs field|subprotocol, which is where the key is. Where the API is, the environment
// says. It shows what it gets, says hello after the second message, and closes when that comes back.
import WebSocket from 'ws'

const url = process.env.OPENAI_BASE_URL.replace(/^http/, 'ws') + '/realtime?model=fake-large-1'
const key = process.env.OPENAI_API_KEY
const socket =
  process.argv[2] === 'field'
    ? new WebSocket(url, { headers: { authorization: `Bearer ${key}` } })
    : new WebSocket(url, ['realtime', `openai-insecure-api-key.${key}`])

let messages = 0
socket.on('message', (message) => {
  console.log(String(message))
  if (++messages === 2) socket.send('hello')
  if (messages === 3) socket.close(1000)
})
socket.on('close', (code) => console.log('closed', code))
socket.on('error', (error) => console.log(error.message))
