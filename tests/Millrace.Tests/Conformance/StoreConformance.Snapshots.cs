using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    /// <summary>
    /// All that the contract shows of the streams and documents of this test, their private and dead letter streams included, without what
    /// changes as time passes. Equal before and after means that nothing was changed.
    /// </summary>
    protected async Task<string> SnapshotAsync()
    {
        var text = new StringBuilder();
        foreach (var stream in _streams)
        {
            await DescribeAsync(text, stream);
            foreach (var group in (string[])["g", "h"])
            {
                await DescribeAsync(text, StreamNames.Again(stream, group));
                await DescribeAsync(text, StreamNames.DeadLetters(stream, group));
            }
        }

        foreach (var key in _states)
            await DescribeAsync(text, key);
        return text.ToString();
    }

    private async Task DescribeAsync(StringBuilder text, string stream)
    {
        try
        {
            if (await Store.GetStreamInfoAsync(stream) is not { } info)
                return;

            text.AppendLine(CultureInfo.InvariantCulture,
                $"stream {stream}: {info.Length} of {info.EntriesAdded}, last {info.LastGeneratedId}, deleted {info.MaxDeletedId}");
            foreach (var entry in await RangeAsync(stream))
                text.AppendLine(CultureInfo.InvariantCulture, $"  {entry.Id} {Describe(entry.Fields.Packed)}");
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.WrongType)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"stream {stream}: wrong type");
            return;
        }

        foreach (var group in await Store.GetGroupsAsync(stream))
        {
            text.AppendLine(CultureInfo.InvariantCulture,
                $"  group {group.Name}: last {group.LastDeliveredId}, read {group.EntriesRead}, lag {group.Lag}, " +
                $"pending {group.PendingCount}");
            foreach (var consumer in await Store.GetConsumersAsync(stream, group.Name))
                text.AppendLine(CultureInfo.InvariantCulture, $"    consumer {consumer.Name}: pending {consumer.PendingCount}");
            foreach (var pending in await PendingAsync(stream, group.Name))
                text.AppendLine(CultureInfo.InvariantCulture, $"    {pending.Id} {pending.Consumer} {pending.DeliveryCount}");
        }
    }

    private async Task DescribeAsync(StringBuilder text, StateKey key)
    {
        try
        {
            if (await Store.GetStateAsync(key) is { } document)
                text.AppendLine(CultureInfo.InvariantCulture, $"state {key.Name}: {document.Version} {Describe(document.Payload)}");
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.WrongType)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"state {key.Name}: wrong type");
        }
    }

    // Short content can be read in a failure message; of long content the hash will do.
    private static string Describe(ReadOnlyMemory<byte> bytes) => bytes.Length <= 100
        ? string.Create(bytes.Length, bytes, static (text, bytes) =>
        {
            for (var i = 0; i < text.Length; i++)
                text[i] = bytes.Span[i] is >= 0x20 and < 0x7F and var character ? (char)character : '·';
        }) + $" #{Convert.ToHexString(SHA256.HashData(bytes.Span))[..8]}"
        : $"{bytes.Length} bytes #{Convert.ToHexString(SHA256.HashData(bytes.Span))[..8]}";
}
