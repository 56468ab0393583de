"""Amazon Bedrock's Converse and ConverseStream (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html), as providers
speak it: requests out; answers, streams, usage and errors in. No client speaks it, so the other half is not there."""

NAME = "bedrock.converse"
