// Puts one revocation request on the queue, as the identity that DefaultAzureCredential finds.
// dotnet run -- <storage account> <idempotency key> <reason> <user> [<user> …]
using System.Text.Json;
using Azure.Identity;
using Azure.Storage.Queues;

if (args.Length < 4)
{
    Console.Error.WriteLine("Usage: <storage account> <idempotency key> <reason> <user> [<user> ...]");
    return 2;
}

var message = JsonSerializer.Serialize(new
{
    users = args[3..],
    reason = args[2],
    idempotencyKey = args[1],
    requestedBy = "HR service",
});

var queue = new QueueClient(
    new Uri($"https://{args[0]}.queue.core.windows.net/revocation-requests"),
    new DefaultAzureCredential(),
    // None, the default, sends the text as it is. Base64 is what the storage libraries before version 12 sent: for this
    // queue both are the same, because the app decodes.
    new QueueClientOptions { MessageEncoding = QueueMessageEncoding.None });
await queue.SendMessageAsync(message);
Console.WriteLine("Sent. GET /api/revocations?user=<user> says what became of it.");
return 0;
