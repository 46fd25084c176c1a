// The OpenAI SDK: openai.mjs WHAT, as ci/clients/models.go says. Where the API is, the environment says.
import OpenAI from 'openai'

const client = new OpenAI()
const model = 'fake-large-1'
const messages = [{ role: 'user', content: 'hello, proxy' }]

switch (process.argv[2]) {
  case 'chat':
    console.log((await client.chat.completions.create({ model, messages })).choices[0].message.content)
    break
  case 'responses':
    console.log((await client.responses.create({ model, input: 'hello, proxy' })).output_text)
    break
  case 'models':
    for await (const model of client.models.list()) console.log(model.id)
    break
  case 'chat stream':
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
      console.log('delta', chunk.choices[0].delta.content)
    }
    break
  case 'responses stream':
    for await (const event of await client.responses.create({ model, input: 'hello, proxy', stream: true })) {
      console.log(event.type, event.delta ?? '')
    }
    break
  case 'abort':
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
      console.log('delta', chunk.choices[0].delta.content)
      if (chunk.choices[0].delta.content === 'two') break // which aborts it
    }
    break
  case 'error':
    try {
      await client.responses.create({ model: 'error-400', input: 'hello' })
    } catch (error) {
      console.log(error.constructor.name, error.status, error.type)
    }
}
