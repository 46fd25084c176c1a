// Octokit: every page of a list, which it finds by the Link fields. Where the API is, the environment says.
import { Octokit } from '@octokit/rest'

const client = new Octokit({ baseUrl: process.env.GITHUB_API_URL, auth: process.env.GITHUB_TOKEN })
const pages = await client.paginate('GET /links', { pages: 3 }, (answer) => [answer.url])
for (const page of pages) console.log(new URL(page).search)
