using System.Text.Json;

namespace Millrace.Tests.Shop;

/// <summary>A directory for one Shop, deleted with this object, and what the fakes wrote into it.</summary>
public sealed class ShopDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("millrace-shop-").FullName;

    public string Data => System.IO.Path.Combine(Path, "data");

    /// <summary>How often the mail gateway told the end of an order, by order.</summary>
    public IReadOnlyDictionary<string, int> ReadEndMails() => File.ReadLines(System.IO.Path.Combine(Data, "fakes", "mails.jsonl"))
        .Select(line => JsonDocument.Parse(line).RootElement)
        .Where(mail => mail.GetProperty("applied").GetBoolean() && mail.GetProperty("kind").GetString() != "welcome")
        .GroupBy(mail => mail.GetProperty("about").GetString()!)
        .ToDictionary(mails => mails.Key, mails => mails.Count());

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
