// The Anthropic SDK: anthropic.mjs WHAT, as ci/clients/models.go says. Where the API is, the environment says.
import Anthropic from '@anthropic-ai/sdk'

const client = new Anthropic()
const prompt = { model: 'fake-large-1', max_tokens: 100, messages: [{ role: 'user', content: 'hello, proxy' }] }
const text = (message) => message.content.map((part) => part.text).join('')

switch (process.argv[2]) {
  case 'messages':
    console.log(text(await client.messages.create(prompt)))
    break
  case 'count_tokens':
    console.log((await client.messages.countTokens({ ...prompt, max_tokens: undefined })).input_tokens)
    break
  case 'models':
    for await (const model of client.models.list()) console.log(model.id)
    break
  case 'stream': {
    const stream = client.messages.stream(prompt)
    for await (const event of stream) console.log(event.type, event.delta?.text ?? '')
    console.log(text(await stream.finalMessage()))
    break
  }
  case 'abort':
    for await (const event of await client.messages.create({ ...prompt, stream: true })) {
      console.log(event.type, event.delta?.text ?? '')
      if (event.delta?.text === 'two ') break // which aborts it
    }
    break
  case 'error':
    try {
      await client.messages.create({ ...prompt, model: 'error-400' })
    } catch (error) {
      console.log(error.constructor.name, error.status, error.error.error.type)
    }
}
