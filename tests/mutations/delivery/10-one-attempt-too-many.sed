# file: src/Millrace/Consuming/Retries/RetryPolicy.cs
# The last attempt is not the last.
s/attempt < maxAttempts/attempt <= maxAttempts/
