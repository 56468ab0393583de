"""Exports of providers, written by hand in the shapes that their pages give. In: nothing. Out: text.

All tell of 2026-11-01 and 2026-11-02.
"""

import json

OPENAI_USAGE = json.dumps(
    {
        # https://platform.openai.com/docs/api-reference/usage/completions
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": 1793491200,
                "end_time": 1793577600,
                "results": [
                    {
                        "object": "organization.usage.completions.result",
                        "input_tokens": 1000,
                        "output_tokens": 500,
                        "input_cached_tokens": 800,
                        "num_model_requests": 5,
                        "project_id": None,
                        "user_id": None,
                        "api_key_id": "key_abc",
                        "model": "gpt-4o-mini-2024-07-18",
                        "batch": None,
                    }
                ],
            },
            {"object": "bucket", "start_time": 1793577600, "end_time": 1793664000, "results": []},
        ],
        "has_more": False,
        "next_page": None,
    }
)
OPENAI_COSTS = json.dumps(
    {
        # https://platform.openai.com/docs/api-reference/usage/costs
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": 1793491200,
                "end_time": 1793577600,
                "results": [
                    {
                        "object": "organization.costs.result",
                        "amount": {"value": 0.06, "currency": "usd"},
                        "line_item": f"gpt-4o-2024-08-06, {kind}",
                        "project_id": None,
                    }
                    for kind in ("input", "output")
                ],
            }
        ],
        "has_more": False,
        "next_page": None,
    }
)
OPENAI_USAGE_CSV = """\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,input_tokens,output_tokens,input_cached_tokens
1793491200,1793577600,2026-11-01T00:00:00+00:00,2026-11-02T00:00:00+00:00,proj_1,5,,key_abc,gpt-4o-mini-2024-07-18,,1000,500,800
1793577600,1793664000,2026-11-02T00:00:00+00:00,2026-11-03T00:00:00+00:00,proj_1,1,,key_abc,gpt-4o-mini-2024-07-18,,7,3,0
"""
ANTHROPIC_USAGE = json.dumps(
    {
        # https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages
        "data": [
            {
                "starting_at": "2026-11-01T00:00:00Z",
                "ending_at": "2026-11-02T00:00:00Z",
                "results": [
                    {
                        "api_key_id": "apikey_01",
                        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
                        "cache_read_input_tokens": 200,
                        "context_window": "0-200k",
                        "model": "claude-sonnet-4-5-20250929",
                        "output_tokens": 500,
                        "server_tool_use": {"web_search_requests": 10},
                        "service_tier": "standard",
                        "uncached_input_tokens": 1500,
                        "workspace_id": None,
                    }
                ],
            },
            {"starting_at": "2026-11-02T00:00:00Z", "ending_at": "2026-11-03T00:00:00Z", "results": []},
        ],
        "has_more": False,
        "next_page": None,
    }
)
ANTHROPIC_COST = json.dumps(
    {
        # https://platform.claude.com/docs/en/api/admin/cost_report
        "data": [
            {
                "starting_at": "2026-11-01T00:00:00Z",
                "ending_at": "2026-11-02T00:00:00Z",
                "results": [
                    {
                        "amount": "123.45",
                        "context_window": "0-200k",
                        "cost_type": "tokens",
                        "currency": "USD",
                        "description": "Claude Sonnet 4.5 Usage - Input Tokens",
                        "model": "claude-sonnet-4-5-20250929",
                        "service_tier": "standard",
                        "token_type": "uncached_input_tokens",
                        "workspace_id": None,
                    }
                ],
            }
        ],
        "has_more": False,
        "next_page": None,
    }
)
AZURE = """\
invoiceId,date,serviceFamily,consumedService,meterName,meterCategory,meterSubCategory,quantity,unitOfMeasure,costInBillingCurrency,billingCurrency,costInUsd
1,11/01/2026,AI + Machine Learning,Microsoft.CognitiveServices,gpt 4o 0806 Inp glbl Tokens,Foundry Models,Azure OpenAI,12,1K,0.0279,EUR,0.03
1,11/01/2026,AI + Machine Learning,Microsoft.CognitiveServices,gpt 4o 0806 Outp glbl Tokens,Foundry Models,Azure OpenAI,9,1K,0.0837,EUR,0.09
1,11/01/2026,Compute,Microsoft.Compute,D2s v5,Virtual Machines,Dsv5 Series,24,1 Hour,2.3,EUR,2.5
1,11/02/2026,AI + Machine Learning,Microsoft.CognitiveServices,gpt 4o 0806 Inp glbl Tokens,Foundry Models,Azure OpenAI,1,1K,0.0023,EUR,0.0025
"""
"""https://learn.microsoft.com/azure/cost-management-billing/dataset-schema/cost-usage-details-mca"""
AZURE_EA = """\
InvoiceSectionName,SubscriptionName,Date,ProductName,MeterCategory,MeterSubCategory,MeterName,Quantity,EffectivePrice,Cost,BillingCurrency
Unassigned,Production,2026-11-01,Azure OpenAI - gpt-4o,Cognitive Services,Azure OpenAI,gpt-4o-0806-Inp-glbl Tokens,12,0.0025,0.03,USD
"""
"""https://learn.microsoft.com/azure/cost-management-billing/dataset-schema/cost-usage-details-ea"""
GOOGLE = "\n".join(
    json.dumps(
        {
            # https://docs.cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/standard-usage
            "billing_account_id": "01ABCD-234567-89EF01",
            "service": {"id": "C7E2-9256-1C43", "description": service},
            "sku": {"id": "0001-0002-0003", "description": sku},
            "usage_start_time": start,
            "usage_end_time": start,
            "project": {"id": "acme", "labels": []},
            "labels": [],
            "cost": cost,
            "currency": "EUR",
            "currency_conversion_rate": 0.8,
            "usage": {"amount": 12000, "unit": "count", "amount_in_pricing_units": 0.012, "pricing_unit": "count"},
            "credits": [],
        }
    )
    for service, sku, start, cost in (
        ("Vertex AI", "Gemini 2.5 Flash Text Input - Predictions", "2026-11-01 08:00:00 UTC", 0.024),
        ("Vertex AI", "Gemini 2.5 Flash Text Output - Predictions", "2026-11-01 23:00:00 UTC", 0.056),
        ("Compute Engine", "N1 Predefined Instance Core running in Americas", "2026-11-02 01:00:00 UTC", 1.25),
    )
)
GOOGLE_CSV = """\
Project name,Service description,SKU description,Usage start date,Usage end date,Usage amount,Cost ($)
acme,Gemini API,Generate content input token count Gemini 2.5 Flash short,2026-11-01,2026-11-01,12000,0.1
"""
_BEDROCK_ROWS = (
    ("a1", "Usage", "2026-11-01T00:00:00Z", "AmazonBedrock", "USE1-NovaLite-input-tokens", "12", "0.00072", "Amazon Bedrock"),
    ("a2", "Usage", "2026-11-01T10:00:00Z", "2zgsv6y1e4lpqwncvu", "USE1-MP:USE1_InputTokenCount-Units", "3", "0.009",
     "Claude Sonnet 4.5 (Amazon Bedrock Edition)"),
    ("a3", "Usage", "2026-11-02T00:00:00Z", "AmazonEC2", "BoxUsage:t3.micro", "24", "0.2496", "Amazon Elastic Compute Cloud"),
    ("a4", "Tax", "2026-11-01T00:00:00Z", "AmazonBedrock", "", "1", "0.1", "Amazon Bedrock"),
)  # fmt: skip
BEDROCK_REPORT = (
    "identity/LineItemId,lineItem/LineItemType,lineItem/UsageStartDate,lineItem/ProductCode,lineItem/UsageType,"
    "lineItem/UsageAmount,lineItem/UnblendedCost,product/ProductName,lineItem/CurrencyCode\n"
    + "".join(f"{','.join(row)},USD\n" for row in _BEDROCK_ROWS)
)
"""https://docs.aws.amazon.com/cur/latest/userguide/Lineitem-columns.html"""
BEDROCK_EXPLORER = json.dumps(
    {
        # https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html
        "GroupDefinitions": [{"Type": "DIMENSION", "Key": "USAGE_TYPE"}],
        "ResultsByTime": [
            {
                "TimePeriod": {"Start": "2026-11-01", "End": "2026-11-02"},
                "Total": {},
                "Groups": [
                    {
                        "Keys": ["USE1-NovaLite-input-tokens"],
                        "Metrics": {"UnblendedCost": {"Amount": "0.00072", "Unit": "USD"}},
                    }
                ],
                "Estimated": True,
            },
            {"TimePeriod": {"Start": "2026-11-02", "End": "2026-11-03"}, "Total": {}, "Groups": [], "Estimated": True},
        ],
    }
)
BEDROCK_EXPLORER_CSV = """\
"Usage type","USE1-NovaLite-input-tokens($)","USE1-NovaLite-output-tokens($)","Total costs($)"
"Usage type total","0.00072","0.00024","0.00096"
"2026-11-01","0.00072","","0.00072"
"2026-11-02","","0.00024","0.00024"
"""
