"""Simulated providers: the wire formats of OpenAI and Azure OpenAI for tests, benches and demos. Every answer says
`simulated`."""
