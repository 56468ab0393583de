"""Runs inside the environment of `llm`: points the plugin llm-zenmux at the gateway, and hands the arguments to llm's command line.

The plugin has its addresses as constants of its module; everything else is as it was released.
"""

import os
import sys

import llm_zenmux
from llm.cli import cli

base = os.environ["GATEWAY_URL"]
llm_zenmux.ZENMUX_OPENAI_BASE = f"{base}/api/v1"
llm_zenmux.ZENMUX_ANTHROPIC_BASE = f"{base}/api/anthropic"
llm_zenmux.MODELS_URL = f"{base}/api/v1/models"
cli(sys.argv[1:])
