namespace Shop.Fakes;

/// <summary>The mails the shop sends.</summary>
public static class MailKinds
{
    public const string Completed = "completed";
    public const string Cancelled = "cancelled";
    public const string Operations = "operations";
    public const string Welcome = "welcome";

    /// <summary>The mails that tell how an order ended.</summary>
    public static IReadOnlyList<string> OrderEnds { get; } = [Completed, Cancelled, Operations];
}

/// <summary>One call of the mail gateway, as it stands in its books.</summary>
public sealed record MailRecord
{
    /// <summary>The caller's key: calls with the same key send one mail.</summary>
    public required string Key { get; init; }

    /// <summary>One of <see cref="MailKinds"/>.</summary>
    public required string Kind { get; init; }

    /// <summary>The order or the user the mail is about.</summary>
    public required string About { get; init; }

    public required string To { get; init; }

    /// <summary>Whether a mail went out in this call.</summary>
    public required bool Applied { get; init; }

    public required DateTimeOffset Time { get; init; }
}

/// <summary>Stands for a mail gateway outside the store: idempotent by key, with books of its own on disk.</summary>
public sealed class MailGateway
{
    /// <summary>The gateway's books in a fakes directory.</summary>
    public const string FileName = "mails.jsonl";

    private readonly HashSet<string> _sentKeys = [];
    private readonly RecordFile<MailRecord> _books;
    private readonly TimeProvider _time;

    public MailGateway(string directory, TimeProvider time)
    {
        _time = time;
        _books = new(Path.Combine(directory, FileName), ShopJson.Default.MailRecord, record => _sentKeys.Add(record.Key), time);
    }

    /// <summary>Sends a mail, once for each key.</summary>
    public Task SendAsync(string key, string about, string kind, string to, CancellationToken cancellationToken) => _books.AddAsync(
        () => new MailRecord
        {
            Key = key,
            Kind = kind,
            About = about,
            To = to,
            Applied = !_sentKeys.Contains(key),
            Time = _time.GetUtcNow(),
        },
        cancellationToken);
}
