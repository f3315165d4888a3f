namespace Millrace.EventSourcing;

/// <summary>
/// What is somebody's, as it may stand in an event: readable only with the person's key, see <see cref="PersonalDataVault"/>. Streams, categories,
/// consumers and backups keep it; without the key it is noise everywhere.
/// </summary>
/// <typeparam name="T">What it is, as JSON.</typeparam>
/// <param name="Subject">Whose: a name that says nothing by itself, such as <c>user-17</c>.</param>
/// <param name="Data">AES-256-GCM: 12 bytes of nonce, 16 of tag, then the text; as Base64.</param>
public sealed record PersonalData<T>(string Subject, string Data);

/// <summary>What a person's key gave.</summary>
/// <typeparam name="T">What it is.</typeparam>
/// <param name="IsErased">Whether the person was erased: nobody can read it any more.</param>
/// <param name="Value">What it is, unless it was erased.</param>
public readonly record struct RevealedData<T>(bool IsErased, T? Value);

/// <summary>Something is to be kept of a person who was erased.</summary>
public sealed class PersonalDataErasedException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="subject">The person.</param>
    public PersonalDataErasedException(string subject)
        : base($"The data of '{subject}' were erased; nothing can be kept of them any more.") => Subject = subject;

    /// <summary>The person.</summary>
    public string Subject { get; }
}
